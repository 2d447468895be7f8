//! Floor 4: sockets, clock, signals and threads; the only floor that has them.
