# Under this distribution alone: what QEMU's boards lack for the panel, the watchdog and the updates.
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"
SRC_URI:append:trunkcast = " file://trunkcast.cfg"
