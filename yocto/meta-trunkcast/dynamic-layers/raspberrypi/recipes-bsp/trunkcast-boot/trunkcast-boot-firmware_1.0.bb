# nooelint: oelint.var.mandatoryvar.SRC_URI - nothing of it is fetched
SUMMARY = "What the firmware of a Raspberry Pi reads from the card"
DESCRIPTION = "The first partition, whose autoboot.txt says which slot is booted, and the partition of a \
               slot: firmware, kernel, device trees and settings. It is the same for both slots."
SECTION = "bootloaders"
LICENSE = "Apache-2.0"
# nooelint: oelint.var.licenseremotefile - nothing of it is fetched
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

COMPATIBLE_MACHINE = "^rpi$"

inherit deploy nopackages trunkcast_board

INHIBIT_DEFAULT_DEPS = "1"
DEPENDS += "dosfstools-native mtools-native"

# Writes autoboot.txt on the card, and here the first one.
TRYBOOT = "${TRUNKCAST_SOURCE}/board/common/rauc-tryboot"
PANEL = "${TRUNKCAST_SOURCE}/board/${TRUNKCAST_BOARD}/config.txt"

do_fetch[noexec] = "1"
do_unpack[noexec] = "1"
do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_install[noexec] = "1"

# Entries `file` or `file;name on the partition` of IMAGE_BOOT_FILES, as a tree.
python do_lay_out() {
    import glob
    import shutil

    source = d.getVar('DEPLOY_DIR_IMAGE')
    for entry in d.getVar('IMAGE_BOOT_FILES').split():
        name, _, target = entry.partition(';')
        found = [path for path in glob.glob(os.path.join(source, name)) if os.path.isfile(path)]
        if not found:
            bb.fatal('%s of IMAGE_BOOT_FILES is not in %s' % (name, source))
        for path in found:
            to = os.path.join(d.getVar('B'), 'slot', target or os.path.basename(path))
            bb.utils.mkdirhier(os.path.dirname(to))
            shutil.copyfile(path, to)
}
do_lay_out[doc] = "Collects what the boot partition of a slot holds."
do_lay_out[cleandirs] = "${B}/slot"
do_lay_out[depends] += "rpi-bootfiles:do_deploy rpi-config:do_deploy virtual/kernel:do_deploy"
addtask lay_out before do_compile after do_configure

do_compile[file-checksums] += "${TRYBOOT}:True ${PANEL}:True"
do_compile() {
    # The firmware takes the command line of the slot that it has booted: partition 2 is boot-a, 3 boot-b.
    {
        cat "${PANEL}"
        printf '[boot_partition=2]\ncmdline=cmdline-a.txt\n[boot_partition=3]\ncmdline=cmdline-b.txt\n[all]\n'
    } >>"${B}/slot/config.txt"
    rm -f "${B}/slot/cmdline.txt"
    for slot in a b; do
        printf '%s root=PARTLABEL=rootfs-%s rauc.slot=%s %s\n' "${TRUNKCAST_CMDLINE}" "$slot" \
            "$(printf %s "$slot" | tr ab AB)" "${TRUNKCAST_CMDLINE_ROOT}" >"${B}/slot/cmdline-$slot.txt"
    done

    rm -f "${B}/boot.vfat" "${B}/slot.vfat"
    mkfs.vfat -n BOOT -C "${B}/boot.vfat" 4096
    install -d "${B}/boot"
    TRYBOOT_FOLDER="${B}/boot" TRYBOOT_BOOTED=A TRYBOOT_PARAMETER="${B}/none" "${TRYBOOT}" set-state A good
    mcopy -i "${B}/boot.vfat" "${B}/boot/autoboot.txt" ::autoboot.txt
    mkfs.vfat -F 32 -n SLOT -C "${B}/slot.vfat" "${@int(d.getVar('TRUNKCAST_BOOT_MIB') or 0) * 1024}"
    mcopy -s -i "${B}/slot.vfat" "${B}"/slot/* ::
}

do_deploy() {
    install -m 644 "${B}/boot.vfat" "${DEPLOYDIR}/trunkcast-boot-${MACHINE}.vfat"
    install -m 644 "${B}/slot.vfat" "${DEPLOYDIR}/trunkcast-slot-${MACHINE}.vfat"
}
addtask deploy after do_compile before do_build
