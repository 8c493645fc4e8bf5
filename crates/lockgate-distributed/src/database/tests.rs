//! The database itself: what is refused, what is migrated, and what becomes of a connection that falls silent.
