# nooelint: oelint.var.mandatoryvar.SRC_URI - nothing of it is fetched
SUMMARY = "What U-Boot reads from the card"
DESCRIPTION = "The boot partition with boot.scr, which chooses one of two systems and counts its tries, and \
               the partition of its counters as a new card has them."
SECTION = "bootloaders"
LICENSE = "Apache-2.0"
# nooelint: oelint.var.licenseremotefile - nothing of it is fetched
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

inherit deploy nopackages trunkcast_board

INHIBIT_DEFAULT_DEPS = "1"
DEPENDS += "dosfstools-native mtools-native u-boot-tools-native"

TRUNKCAST_BOOT_COMMAND ??= "booti"
SCRIPT = "${TRUNKCAST_SOURCE}/board/common/boot.cmd"

do_fetch[noexec] = "1"
do_unpack[noexec] = "1"
do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_install[noexec] = "1"

do_compile[cleandirs] = "${B}"
do_compile[file-checksums] += "${SCRIPT}:True"
do_compile() {
    sed -e 's|@CMDLINE@|${TRUNKCAST_CMDLINE}|' -e 's|@BOOT@|${TRUNKCAST_BOOT_COMMAND}|' "${SCRIPT}" >"${B}/boot.cmd"
    mkimage -A "${@'arm64' if d.getVar('TARGET_ARCH') == 'aarch64' else 'arm'}" -T script -C none -n trunkcast \
        -d "${B}/boot.cmd" "${B}/boot.scr"
    mkfs.vfat -n BOOT -C "${B}/boot.vfat" 4096
    mcopy -i "${B}/boot.vfat" "${B}/boot.scr" ::boot.scr

    # The second slot is empty until the first update. Two copies, one behind the other.
    printf 'BOOT_ORDER=A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=0\n' >"${B}/counters.txt"
    mkenvimage -p 0 -s 0x1000 -o "${B}/counters.bin" "${B}/counters.txt"
    cat "${B}/counters.bin" "${B}/counters.bin" >"${B}/uboot-env.bin"
}

do_deploy() {
    install -m 644 "${B}/boot.vfat" "${DEPLOYDIR}/trunkcast-boot-${MACHINE}.vfat"
    install -m 644 "${B}/uboot-env.bin" "${DEPLOYDIR}/trunkcast-uboot-env-${MACHINE}.bin"
}
addtask deploy after do_compile before do_build
