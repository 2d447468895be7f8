//! Floor 4: sockets, clock, files, signals.
