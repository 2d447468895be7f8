# nooelint: oelint.var.mandatoryvar.SRC_URI - nothing of it is fetched
SUMMARY = "Update of a Trunkcast box"
DESCRIPTION = "RAUC bundle with the system of trunkcast-image, and on a Raspberry Pi with its boot partition. \
               It is written to the slot that is not running, which has to prove itself once booted."
SECTION = "images"
LICENSE = "Apache-2.0"

inherit bundle trunkcast_board

RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_COMPATIBLE = "trunkcast-${TRUNKCAST_BOARD}"
RAUC_BUNDLE_VERSION = "${DISTRO_VERSION}"
RAUC_BUNDLE_DESCRIPTION = "${SUMMARY}"

RAUC_BUNDLE_SLOTS = "rootfs"
# nooelint: oelint.vars.specific - every machine of meta-raspberrypi
RAUC_BUNDLE_SLOTS:append:rpi = " boot"
# nooelint: oelint.vars.mispell.unknown - a variable of the class bundle
RAUC_SLOT_rootfs = "trunkcast-image"
# nooelint: oelint.vars.mispell.unknown - a variable of the class bundle
RAUC_SLOT_rootfs[fstype] = "ext4"
# nooelint: oelint.vars.mispell.unknown - a variable of the class bundle
RAUC_SLOT_boot = "trunkcast-boot-firmware"
# nooelint: oelint.vars.mispell.unknown - a variable of the class bundle
RAUC_SLOT_boot[type] = "file"
# nooelint: oelint.vars.mispell.unknown - a variable of the class bundle
RAUC_SLOT_boot[file] = "trunkcast-slot-${MACHINE}.vfat"

# Files on the machine that builds; yocto/keys makes a first pair.
TRUNKCAST_RAUC_CERT ?= ""
TRUNKCAST_RAUC_CERT[doc] = "Certificate (PEM) of the key that signs updates."
TRUNKCAST_RAUC_KEY ?= ""
TRUNKCAST_RAUC_KEY[doc] = "Key (PEM, or a PKCS#11 URI) that signs updates."
RAUC_CERT_FILE = "${TRUNKCAST_RAUC_CERT}"
RAUC_KEY_FILE = "${TRUNKCAST_RAUC_KEY}"
