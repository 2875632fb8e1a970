//! A whole node, asked over the protocol: on a disk in memory, with a clock that the test moves.

mod alter_configs;
mod configs;
mod connections;
mod groups;
mod metadata;
mod partitions;
mod protocol;
