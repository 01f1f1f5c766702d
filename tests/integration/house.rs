//! Rules about the repository itself, which no compiler checks.

mod imports;
mod layout;
mod links;
mod oldest_rust;
mod tokens;

use std::path::PathBuf;

/// Returns the folder of the workspace.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
