SUMMARY = "Gateway that turns a SIP call into a live RTMP stream"
DESCRIPTION = "Answers calls of an office PBX and publishes each as an RTMP stream, without transcoding. \
               With it come its units, users and settings, and what makes a card of it: first boot, data \
               partition, updates."
SECTION = "network"
CVE_PRODUCT = "trunkcast"
# The crates are linked in; of those with a choice of licences it is Apache-2.0.
LICENSE = "Apache-2.0 & BSD-3-Clause & ISC & MIT"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
    file://${COMMON_LICENSE_DIR}/BSD-3-Clause;md5=550794465ba0ec5312d6919e203a55f9 \
    file://${COMMON_LICENSE_DIR}/ISC;md5=f3b90e78ea0cffb20bf5cca7947a896d \
    file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
"

require trunkcast-crates.inc

inherit cargo cargo-update-recipe-crates externalsrc systemd useradd trunkcast_board

# The checkout that this layer lies in; crates alone are fetched.
EXTERNALSRC = "${TRUNKCAST_SOURCE}"
# nooelint: oelint.vars.mispell.unknown - a variable of the class externalsrc
EXTERNALSRC_SYMLINKS = ""

# Symbols go to the package for debugging, which strips them itself.
export CARGO_PROFILE_RELEASE_STRIP = "none"

RUST_NEEDED = "1.88"
# nooelint: oelint.task.noanonpython - a recipe is skipped with words only while it is parsed
python () {
    rust = (d.getVar('RUSTVERSION') or '').rstrip('%')
    needed = d.getVar('RUST_NEEDED')
    if rust and bb.utils.vercmp_string_op(rust, needed, '<'):
        words = "it needs Rust %s and this build has %s: add a layer with a newer one, for scarthgap meta-lts-mixins"
        raise bb.parse.SkipRecipe(words % (needed, rust))
}

# The same list as every other card's; files that other recipes have are put in place by the image.
do_install() {
    "${S}/board/common/install" "${D}" "${TRUNKCAST_BOARD}" "${B}/target/${CARGO_TARGET_SUBDIR}/trunkcast"
    rm -f "${D}${sysconfdir}/hostname" "${D}${sysconfdir}/machine-id"
    install -D -m 644 "${S}/systemd/trunkcast-backoff.conf" \
        "${D}${systemd_system_unitdir}/trunkcast.service.d/backoff.conf"
    chown -R root:root "${D}"
}

SYSTEMD_SERVICE:${PN} = "\
    trunkcast.service \
    trunkcast-factory-reset.path \
    trunkcast-first-boot.service \
    trunkcast-grow.service \
    trunkcast-greeting.service \
    trunkcast-healthy.service \
    trunkcast-panel.service \
    trunkcast-password-reset.path \
"

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "\
    --system --user-group --no-create-home --home-dir ${localstatedir}/lib/trunkcast --shell ${base_sbindir}/nologin trunkcast; \
    --system --user-group --no-create-home --home-dir / --shell ${base_sbindir}/nologin --groups trunkcast trunkcast-panel \
"

FILES:${PN} += "${nonarch_libdir} /data"

# What the scripts call.
RDEPENDS:${PN} += "\
    ${PN}-doc \
    ca-certificates \
    coreutils \
    e2fsprogs-e2fsck \
    e2fsprogs-mke2fs \
    e2fsprogs-resize2fs \
    e2fsprogs-tune2fs \
    iproute2-ip \
    util-linux-mount \
    util-linux-umount \
"
# Its settings of RAUC are the box's; those of meta-rauc are an example.
RPROVIDES:${PN} += "virtual-rauc-conf"
