//! Shared by the demonstrations: a temporary database, and several processes of one program.

mod scratch;
mod workers;

pub use self::scratch::Scratch;
pub use self::workers::Workers;
