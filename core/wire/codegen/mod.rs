//! The generator: definition files in, Rust text out.
//!
//! - `schema`: the definition format, parsed into messages, structures and fields.
//! - `resolve`: what follows from a schema: which versions a field is in, what borrows, the least size on the wire.
//! - `types`: structures, defaults. `decode`, `encode`: the two directions. `arbitrary`: random values, for tests only.
//! - `module`: modules, re-exports, trait implementations, and the tables over all of them.
//!
//! It runs in the build script only. A mistake in a definition file stops the build with a message.

mod arbitrary;
mod decode;
mod encode;
mod module;
mod resolve;
mod schema;
mod types;

pub use module::{GROUPS, TestOutput, group, messages, schema_table};
pub use schema::{Message, parse};
