//! What the README shows is true: its configurations load, its options exist.

use trunkcast::cli::config_file;

const README: &str = include_str!("../README.md");

/// The fenced blocks of one language, without the indentation of a list item around them.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if line.trim_start() != format!("```{language}") {
            continue;
        }
        let inside = lines
            .by_ref()
            .take_while(|line| line.trim_start() != "```")
            .map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()))
            .collect();
        blocks.push(inside);
    }
    blocks
}

#[test]
fn every_configuration_shown_loads() {
    let shown = blocks("yaml");
    assert!(shown.len() >= 2, "{} configurations found", shown.len());
    for text in shown {
        if let Err(problems) = config_file::load(&text, "README.md") {
            panic!("{problems:?} in\n{text}");
        }
    }
}

#[test]
fn every_file_named_exists() {
    let links = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.contains("://")) {
        assert!(std::path::Path::new(link).exists(), "{link} does not exist");
    }
}
