//! The links of the README and the guide.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Follows links to files of the repository, and to headings in them. Other sites are not asked.
#[test]
fn every_link_and_anchor_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let found = target.exists()
                && (anchor.is_empty()
                    || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn every_page_of_the_guide_is_in_its_summary_once() {
    let docs = super::root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut listed: Vec<_> = links(&summary).into_iter().map(|link| docs.join(link)).collect();
    listed.sort();
    let mut pages: Vec<_> = pages().into_iter().filter(|page| page.starts_with(&docs)).collect();
    pages.retain(|page| !page.ends_with("SUMMARY.md"));
    pages.sort();
    assert_eq!(listed, pages);
}

fn pages() -> Vec<PathBuf> {
    let root = super::root();
    let markdown = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .collect::<Vec<_>>()
    };
    [markdown(&root), markdown(&root.join("docs"))].concat()
}

/// Returns the lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

fn links(text: &str) -> Vec<&str> {
    let targets = prose(text).flat_map(|line| line.split("](").skip(1));
    targets.filter_map(|rest| rest.split_once(')').map(|(link, _)| link)).collect()
}

/// Returns the anchors of headings, as the usual hosts and mdBook form them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
        let anchor: String = kept.map(|char| if char == ' ' { '-' } else { char }).collect();
        // A second heading of the same text gets a number.
        let unique = (1..).map(|number| format!("{anchor}-{number}"));
        let unique = std::iter::once(anchor.clone()).chain(unique);
        anchors.extend(unique.into_iter().find(|anchor| !anchors.contains(anchor)));
    }
    anchors
}

#[test]
fn anchors_are_those_of_the_usual_hosts() {
    let text =
        "# `DROP`, \"ALTER\" and *x*\n## On the wire\n```text\n# none\n```\n## On the wire\n";
    let expected = ["drop-alter-and-x", "on-the-wire", "on-the-wire-1"];
    assert_eq!(anchors(text), expected.map(str::to_owned).into());
    assert_eq!(links("[a](b.md#c) [d](e)\n```\n[x](y)\n```\n"), ["b.md#c", "e"]);
}
