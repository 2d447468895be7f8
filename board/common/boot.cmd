# U-Boot: chooses the slot to boot and counts the tries. Linux changes the same variables with
# fw_setenv (RAUC does), in the raw partition uboot-env: copy 1 at its beginning, 4 KiB with a CRC,
# and copy 2 behind it, which only this script writes, after copy 1. Where copy 1 is torn copy 2
# counts, and where both are the defaults below.
#
# A kernel that needs no initramfs has none: /boot/kernel is what has to be there.
#
# Set before by U-Boot's distro boot: devtype, devnum, distro_bootpart; addresses by the board.
setenv env_size 0x1000
setenv env_blocks 8
setenv env_addr ${scriptaddr}
setexpr env_addr ${env_addr} + 0x100000
setenv BOOT_ORDER
setenv BOOT_A_LEFT
setenv BOOT_B_LEFT
${devtype} dev ${devnum}
if part start ${devtype} ${devnum} uboot-env env_start; then
    setexpr env_copy ${env_start} + ${env_blocks}
    ${devtype} read ${env_addr} ${env_start} ${env_blocks}
    if env import -c ${env_addr} ${env_size} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT; then
        echo "slots: counters read"
    else
        ${devtype} read ${env_addr} ${env_copy} ${env_blocks}
        if env import -c ${env_addr} ${env_size} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT; then
            echo "slots: counters read from their copy"
        else
            echo "slots: no counters, starting with the defaults"
        fi
    fi
fi
# Starts that ended before the system could say that it is good use tries up as well. Which slots hold
# a system at all, BOOT_ORDER says: one that was never installed is not in it.
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

setenv slot
for each in ${BOOT_ORDER}; do
    if test -n "${slot}"; then
        true
    elif test "${each}" = A && test 0x${BOOT_A_LEFT} -gt 0; then
        setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
        setenv slot A
        setenv slot_label rootfs-a
    elif test "${each}" = B && test 0x${BOOT_B_LEFT} -gt 0; then
        setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
        setenv slot B
        setenv slot_label rootfs-b
    fi
done
if test -z "${slot}"; then
    echo "slots: no try left, all are counted anew"
    setenv BOOT_A_LEFT 3
    setenv BOOT_B_LEFT 3
fi
if test -n "${env_start}"; then
    env export -c -s ${env_size} ${env_addr} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
    ${devtype} write ${env_addr} ${env_start} ${env_blocks}
    ${devtype} write ${env_addr} ${env_copy} ${env_blocks}
fi
if test -z "${slot}"; then
    reset
fi

echo "slots: booting ${slot}"
setenv bootargs "@CMDLINE@ root=PARTLABEL=${slot_label} ro rootwait init=/usr/lib/trunkcast/preinit rauc.slot=${slot} panic=5 gpt"
if part number ${devtype} ${devnum} ${slot_label} slot_part; then
    if load ${devtype} ${devnum}:${slot_part} ${kernel_addr_r} /boot/kernel; then
        setenv initramfs -
        if load ${devtype} ${devnum}:${slot_part} ${ramdisk_addr_r} /boot/initramfs; then
            setenv initramfs ${ramdisk_addr_r}:${filesize}
        fi
        @BOOT@ ${kernel_addr_r} ${initramfs} ${fdtcontroladdr}
    fi
fi
echo "slots: ${slot} cannot be booted"
reset
