//! The map in `CONTRIBUTING.md` names every folder and every source file.
//!
//! The map is the code block under the heading "Layout". Each line has one or more names, separated
//! by commas, and two spaces later a description. The indentation says which folder it is in.
//! `folder/**` stands for everything below a folder, and `{a,b}.rs` for two files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::root;

/// Returns the map's entries: files, folders that end in a slash, and folders that end in `/**`.
fn map(document: &str) -> BTreeSet<String> {
    let (_, layout) = document.split_once("\n## Layout\n").expect("a heading \"Layout\"");
    let (layout, _) = layout.split_once("\n## ").unwrap_or((layout, ""));
    let (_, block) = layout.split_once("```text\n").expect("a map in a code block");
    let (block, _) = block.split_once("```").expect("the end of the code block");
    let mut entries = BTreeSet::new();
    let mut folders: Vec<(usize, String)> = Vec::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let indentation = line.len() - line.trim_start().len();
        folders.retain(|(outer, _)| *outer < indentation);
        let parent = folders.last().map_or("", |(_, folder)| folder).to_owned();
        let (names, _) = line.trim_start().split_once("  ").unwrap_or((line.trim(), ""));
        for name in names.split(", ").flat_map(expand) {
            let path = format!("{parent}{name}");
            if name.ends_with('/') {
                folders.push((indentation, path.clone()));
            }
            assert!(entries.insert(path.clone()), "the map names {path} twice");
        }
    }
    entries
}

/// Expands one pair of braces.
fn expand(name: &str) -> Vec<String> {
    let braces =
        name.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (alternatives, after))) = braces else { return vec![name.to_owned()] };
    alternatives.split(',').map(|alternative| format!("{before}{alternative}{after}")).collect()
}

/// Returns whether the map has to name the file.
fn is_source(name: &str) -> bool {
    [".rs", ".md"].iter().any(|extension| name.ends_with(extension))
}

/// All that is on disk below a folder, without what is hidden and what builds leave behind.
fn walk(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            let path = format!("{prefix}{name}/");
            walk(&entry.path(), &path, found);
            found.insert(path);
        } else if !prefix.is_empty() {
            found.insert(format!("{prefix}{name}"));
        }
    }
}

/// Compares the map with the tree, and returns what the map lacks and what the tree lacks.
fn compare(map: &BTreeSet<String>, tree: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let covers = |entry: &String, path: &String| {
        entry == path
            || entry.strip_suffix("**").is_some_and(|folder| path.starts_with(folder))
            // To name something is to name the folders that it is in.
            || (path.ends_with('/') && entry.starts_with(path.as_str()))
    };
    let required = tree.iter().filter(|path| path.ends_with('/') || is_source(path));
    let missing = required.filter(|path| !map.iter().any(|entry| covers(entry, path)));
    let gone = map.iter().filter(|entry| !tree.contains(entry.trim_end_matches("**")));
    (missing.cloned().collect(), gone.cloned().collect())
}

#[test]
fn the_map_in_contributing_names_every_folder_and_source_file() {
    let document = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let mut tree = BTreeSet::new();
    walk(&root(), "", &mut tree);
    let (missing, gone) = compare(&map(&document), &tree);
    assert!(
        missing.is_empty() && gone.is_empty(),
        "the map under \"Layout\" in CONTRIBUTING.md differs from the tree\n\
         missing in the map: {missing:#?}\ngone from the tree: {gone:#?}"
    );
}

#[test]
fn every_page_of_the_guide_is_compiled() {
    let listed = include_str!("../../documentation.rs");
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if is_source(&name) {
            let page = format!("\"../docs/{name}\"");
            assert!(listed.contains(&page), "tests/documentation.rs has no line for docs/{name}");
        }
    }
}

#[test]
fn a_map_that_differs_from_the_tree_is_reported() {
    let document = "\n## Layout\n\n```text\na/    a folder\n  {b,c}.rs, d.rs  files\n  e/**  more\nf/g.rs\n```\n";
    let map = map(document);
    let expected = ["a/", "a/b.rs", "a/c.rs", "a/d.rs", "a/e/**", "f/g.rs"];
    assert_eq!(map, expected.map(str::to_owned).into());
    let tree = ["a/", "a/b.rs", "a/c.rs", "a/e/", "a/e/h.rs", "a/i.rs", "a/j.sql", "f/", "f/g.rs"];
    let (missing, gone) = compare(&map, &tree.map(str::to_owned).into());
    assert_eq!(missing, ["a/i.rs"]);
    assert_eq!(gone, ["a/d.rs"]);
}
