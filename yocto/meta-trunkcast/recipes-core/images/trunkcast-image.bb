SUMMARY = "Card of a Trunkcast box"
DESCRIPTION = "systemd on a read-only root in one of two slots, the daemon, and what updates it. \
               Nobody logs in, no package manager; the page on port 80 is the only seat of the operator."
SECTION = "images"
LICENSE = "Apache-2.0"

inherit core-image trunkcast_board

IMAGE_FEATURES = "read-only-rootfs ${@'ssh-server-dropbear allow-root-login' if d.getVar('TRUNKCAST_SSH_KEYS') else ''}"
IMAGE_FSTYPES = "ext4 wic.bmap wic.gz"

TRUNKCAST_RAUC = "${@'rauc rauc-service trunkcast-keyring' if bb.utils.contains('BBFILE_COLLECTIONS', 'rauc', True, False, d) else ''}"
IMAGE_INSTALL = "\
    packagegroup-core-boot \
    kernel-modules \
    trunkcast \
    ${TRUNKCAST_BOOT_TOOLS} \
    ${TRUNKCAST_RAUC} \
    ${CORE_IMAGE_EXTRA_INSTALL} \
"
# A system is good when the daemon says so, which RAUC's own unit does not ask; preinit mounts what the
# binds are for.
BAD_RECOMMENDATIONS += "rauc-conf rauc-mark-good volatile-binds"

# The file system of a slot is never written.
# nooelint: oelint.vars.specific - ext4 is a type of image here
EXTRA_IMAGECMD:ext4 = "-O ^has_journal -m 0 -L rootfs"
# The boot partitions are ready-made, so that wic needs no boot loader.
WKS_FILE_DEPENDS = ""
IMAGE_OVERHEAD_FACTOR = "1.0"
# nooelint: oelint.vars.specific,oelint.vars.mispell - wic is a type of image here
IMAGE_TYPEDEP:wic = "ext4"
# nooelint: oelint.vars.mispell.unknown - a task of the image classes
do_image_wic[depends] += "${@'%s:do_deploy' % d.getVar('TRUNKCAST_BOOT') if d.getVar('TRUNKCAST_BOOT') else ''}"

TRUNKCAST_SSH_KEYS ?= ""
TRUNKCAST_SSH_KEYS[doc] = "File of public keys (authorized_keys) of developers; without it there is no ssh server."

ROOTFS_POSTPROCESS_COMMAND += "trunkcast_settle trunkcast_ssh"

trunkcast_settle[doc] = "What other packages have brought and the card has otherwise."
trunkcast_settle() {
    install -d "${IMAGE_ROOTFS}/data" "${IMAGE_ROOTFS}${sysconfdir}/systemd/system"
    printf '%s\n' "${DISTRO_VERSION}" >"${IMAGE_ROOTFS}${datadir}/trunkcast/image-version"
    : >"${IMAGE_ROOTFS}${sysconfdir}/fstab"
    for unit in getty.target getty@.service serial-getty@.service console-getty.service systemd-repart.service \
        systemd-machine-id-commit.service systemd-firstboot.service; do
        ln -sfn /dev/null "${IMAGE_ROOTFS}${sysconfdir}/systemd/system/$unit"
    done
    # Where the boot loader looks for it (board/common/boot.cmd).
    if [ "${TRUNKCAST_BOOT}" = trunkcast-boot-script ]; then
        [ -e "${IMAGE_ROOTFS}/boot/${KERNEL_IMAGETYPE}" ] || bbfatal "there is no /boot/${KERNEL_IMAGETYPE}"
        ln -sfn "${KERNEL_IMAGETYPE}" "${IMAGE_ROOTFS}/boot/kernel"
    fi
}

trunkcast_ssh[doc] = "Developers enter by key alone."
trunkcast_ssh() {
    if [ -n "${TRUNKCAST_SSH_KEYS}" ]; then
        install -d -m 700 "${IMAGE_ROOTFS}${ROOT_HOME}/.ssh"
        install -m 600 "${TRUNKCAST_SSH_KEYS}" "${IMAGE_ROOTFS}${ROOT_HOME}/.ssh/authorized_keys"
        echo 'DROPBEAR_EXTRA_ARGS="-s"' >>"${IMAGE_ROOTFS}${sysconfdir}/default/dropbear"
    fi
}
