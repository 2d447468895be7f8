# Under this distribution alone: what QEMU's boards lack for the panel, the watchdog and the updates.
FILESEXTRAPATHS:prepend:trunkcast-card := "${THISDIR}/files:"
SRC_URI:append:trunkcast-card = " file://trunkcast.cfg"
