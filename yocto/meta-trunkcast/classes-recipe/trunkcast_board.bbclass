# For recipes whose outcome is of one board: they are skipped, with the reason, where the machine is
# of no folder of board/.

TRUNKCAST_BOARD ??= ""
TRUNKCAST_BOARD[doc] = "Folder of board/ in the source of the daemon that the machine is."

PACKAGE_ARCH = "${MACHINE_ARCH}"

# nooelint: oelint.task.noanonpython - a recipe is skipped with words only while it is parsed
python () {
    board = d.getVar('TRUNKCAST_BOARD')
    if not board:
        raise bb.parse.SkipRecipe("TRUNKCAST_BOARD is not set for MACHINE '%s'; see conf/machine/include of meta-trunkcast"
                                  % d.getVar('MACHINE'))
    folder = os.path.join(d.getVar('TRUNKCAST_SOURCE'), 'board', board)
    if not os.path.isdir(folder):
        raise bb.parse.SkipRecipe("TRUNKCAST_BOARD is '%s', but there is no %s" % (board, folder))
}
