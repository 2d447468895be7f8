# nooelint: oelint.var.mandatoryvar.SRC_URI - nothing of it is fetched
SUMMARY = "Whose updates a Trunkcast box takes"
DESCRIPTION = "The certificate of the authority that vouches for the key of updates."
SECTION = "base"
LICENSE = "Apache-2.0"
# nooelint: oelint.var.licenseremotefile - nothing of it is fetched
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

inherit allarch

TRUNKCAST_RAUC_CA ?= ""
TRUNKCAST_RAUC_CA[doc] = "Certificate (PEM) of the authority of updates, a file on the machine that builds."

do_fetch[noexec] = "1"
do_unpack[noexec] = "1"
do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install[file-checksums] += "${@'%s:True' % d.getVar('TRUNKCAST_RAUC_CA') if d.getVar('TRUNKCAST_RAUC_CA') else ''}"
do_install() {
    if [ -z "${TRUNKCAST_RAUC_CA}" ]; then
        bbfatal "TRUNKCAST_RAUC_CA names no certificate: a card without one could never be updated (yocto/README.md, Keys)"
    fi
    install -D -m 644 "${TRUNKCAST_RAUC_CA}" "${D}${sysconfdir}/rauc/keyring.pem"
}
