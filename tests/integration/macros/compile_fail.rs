//! Compile errors, as users see them.
//!
//! The expected messages come from the Rust version that the workspace is developed with. Bless
//! them with `TRYBUILD=overwrite`, then read the diff.

use std::fs;

#[test]
fn mistakes_are_explained_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("ui/*/*.rs");
}

/// The compiler shows the program first and sorts the other files of a message by their paths, so
/// their order would depend on where the repository is.
#[test]
fn no_message_shows_parts_of_several_other_files() {
    for folder in fs::read_dir("ui").unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "stderr") {
                let text = fs::read_to_string(&path).unwrap();
                for part in text.split(" --> ").skip(1) {
                    let others = part.matches(" ::: ").count() + usize::from(part.starts_with('$'));
                    assert!(others < 2, "another type gives one file: {}: {part}", path.display());
                }
            }
        }
    }
}
