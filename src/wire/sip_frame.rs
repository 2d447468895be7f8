//! Printing of SIP messages.
