//! The house rules that can be checked: the order of the engine's rooms, sizes, where `unsafe` may live, and documents that keep step with
//! the code.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use saranwrap::{Op, wire};

const MAX_LINES: usize = 500;
const MAX_FUNCTION: usize = 60;

/// Where `unsafe` may stand, from the root of the repository.
const UNSAFE: &[&str] = &[
    "crates/saranwrap/src/sys/",
    "crates/saranwrap-python/src/buffer.rs",
    "crates/saranwrap-python/src/forking.rs",
    "crates/saranwrap-python/src/living.rs",
    "crates/saranwrap-python/src/numbers.rs",
];

/// One Rust file of one of the crates.
struct File {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl File {
    /// The lines above the unit tests, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> + Clone {
        let code = self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        code.enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The same without comments, near enough: no string of ours holds two slashes.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> + Clone {
        self.lines().map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The Rust files below these directories.
fn files(directories: &[&str]) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    directories.iter().for_each(|directory| files_below(&root.join(directory), &mut found));
    found.sort();
    assert!(!found.is_empty());
    found
        .into_iter()
        .map(|path| File {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
        })
        .collect()
}

fn sources() -> Vec<File> {
    files(&["crates/saranwrap/src", "crates/saranwrap-macros/src", "crates/saranwrap-python/src"])
}

/// Fail with everything that was found at once.
#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The rooms in a file that declares them, in order.
fn rooms(declaring: &str) -> Vec<String> {
    let text = read(declaring);
    let mod_of = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    text.lines().filter_map(|line| mod_of(line.split(" //").next()?.trim_end())).collect()
}

/// Uses of a room, written as `prefix` and its name, in a room that stands above it.
fn disorder(directory: &str, declaring: &str, prefix: &str) -> Vec<String> {
    let rooms = rooms(&format!("{directory}/{declaring}"));
    assert!(rooms.len() > 1, "{directory}");
    let mut faults = Vec::new();
    for file in files(&[directory]) {
        let inside = &file.path[directory.len() + 1..];
        let room = inside.split(['/', '.']).next().unwrap_or_default();
        let Some(place) = rooms.iter().position(|name| name == room) else { continue };
        for (number, line) in file.code() {
            for below in &rooms[place + 1..] {
                // With its end, so that `link` is not found in `linked`.
                let used = |end: &str| line.contains(&format!("{prefix}{below}{end}"));
                if used("::") || used(";") {
                    faults.push(format!("{}:{number}: {room} uses {below}, which stands below it", file.path));
                }
            }
        }
    }
    faults
}

#[test]
fn a_room_uses_only_what_stands_above_it() {
    none(disorder("crates/saranwrap/src", "lib.rs", "crate::"));
    none(disorder("crates/saranwrap/src/link", "mod.rs", "super::"));
    none(disorder("crates/saranwrap/src/sys", "mod.rs", "super::"));
    none(disorder("crates/saranwrap-macros/src", "lib.rs", "crate::"));
}

#[test]
fn rooms_are_named_and_not_reached_through_the_roof() {
    // `crate::Link` would hide from the test above which room is used.
    let hidden = |line: &str| {
        let mut uses = line.split("crate::").skip(1);
        uses.any(|name| name.starts_with(|first: char| first.is_uppercase()))
    };
    let mut faults = Vec::new();
    for file in files(&["crates/saranwrap/src"]) {
        let found = file.code().filter(|(_, line)| hidden(line));
        faults.extend(found.map(|(number, line)| format!("{}:{number}: {line}", file.path)));
    }
    none(faults);
}

#[test]
fn each_file_begins_by_saying_what_lives_there() {
    let dumb = |file: &File| !file.text.starts_with("//! ");
    let all = files(&["crates", "fuzz/src"]);
    none(all.iter().filter(|file| dumb(file)).map(|file| file.path.clone()).collect());
}

#[test]
fn files_are_short() {
    let long = |file: &File| file.lines().count() > MAX_LINES;
    let told = |file: &File| format!("{}: {} lines", file.path, file.lines().count());
    none(sources().iter().filter(|file| long(file)).map(told).collect());
}

#[test]
fn the_portable_child_says_what_it_is_and_keeps_its_functions_short() {
    // It is one file, and longer than any other, since it is sent whole to an interpreter that has nothing of ours.
    let text = read("crates/saranwrap/src/agent.py");
    assert!(text.starts_with("\"\"\"The portable child: "));
    assert!(text.contains(&format!("VERSION = \"{}\"", env!("CARGO_PKG_VERSION"))), "agent.py: VERSION");
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("def ")) {
        let body = text.lines().skip(number + 1).take_while(|next| next.is_empty() || indent(next) > indent(line));
        // The blank lines behind it are nobody's.
        let length = body.collect::<Vec<_>>().join("\n").trim_end().lines().count() + 1;
        if length > MAX_FUNCTION {
            faults.push(format!("agent.py:{}: {length} lines", number + 1));
        }
    }
    none(faults);
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for file in sources() {
        for (number, line) in file.lines().filter(|(_, line)| begins_function(line)) {
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", &line[..indent]);
            // A function without a body, or on one line, ends where it begins.
            let lines = file.lines().skip(number - 1);
            let whole = lines.clone().position(|(_, line)| line == end).map_or(1, |index| index + 1);
            let bodiless = lines
                .take(whole)
                .any(|(_, line)| line.ends_with(';') && line.len() - line.trim_start().len() == indent);
            if whole > MAX_FUNCTION && !bodiless && !line.ends_with('}') {
                faults.push(format!("{}:{number}: {whole} lines", file.path));
            }
        }
    }
    none(faults);
}

fn begins_function(line: &str) -> bool {
    let words = line.split_whitespace().take_while(|word| !word.contains('('));
    let mut before = words.clone().take_while(|word| *word != "fn");
    let modifier = |word: &str| ["pub", "const", "async", "unsafe", "extern"].contains(&word);
    line.split_whitespace().any(|word| word == "fn")
        && before.all(|word| modifier(word) || word.starts_with("pub(") || word.starts_with('"'))
}

#[test]
fn unsafe_stays_behind_its_fence_and_gives_its_reasons() {
    let mut faults = Vec::new();
    for file in sources() {
        let fenced = UNSAFE.iter().any(|fence| file.path.starts_with(fence));
        let lines: Vec<_> = file.lines().map(|(_, line)| line).collect();
        for (number, line) in file.code() {
            if !is_unsafe(line) {
                continue;
            }
            if !fenced {
                faults.push(format!("{}:{number}: unsafe outside its fence", file.path));
            }
            // An attribute may stand between the reason and what it is for.
            let above = lines[..number - 1].iter().rev().map(|line| line.trim_start());
            let mut above = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
            if !above.any(|line| line.starts_with("// SAFETY: ") || line == "/// # Safety") {
                faults.push(format!("{}:{number}: unsafe without its SAFETY", file.path));
            }
        }
    }
    none(faults);
}

/// Whether the line has the keyword, and not only the word.
fn is_unsafe(line: &str) -> bool {
    let follows = ["{", "fn", "impl", "trait", "extern"];
    let next = |at: usize| line[at..].trim_start();
    line.match_indices("unsafe").any(|(at, word)| {
        let next = next(at + word.len());
        next.starts_with('(') || follows.iter().any(|follow| next.starts_with(follow))
    })
}

#[test]
fn nothing_is_left_to_do_without_saying_where_it_is_discussed() {
    // In two halves, so that this file does not find itself.
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let bare = |line: &str| {
        words
            .iter()
            .any(|word| line.match_indices(word.as_str()).any(|(at, _)| !line[at + word.len()..].starts_with("(#")))
    };
    let mut faults = Vec::new();
    for file in files(&["crates", "fuzz/src"]) {
        let lines = file.text.lines().enumerate().filter(|(_, line)| bare(line));
        faults.extend(lines.map(|(index, line)| format!("{}:{}: {line}", file.path, index + 1)));
    }
    none(faults);
}

#[test]
fn the_protocol_document_has_every_op_and_every_tag() {
    let document = read("docs/protocol.md");
    let words: Vec<_> = document.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let mut absent = String::new();
    for op in Op::ALL.iter().filter(|op| !words.contains(&op.name())) {
        writeln!(absent, "op {}", op.name()).unwrap();
    }
    for (tag, name) in wire::tag::NAMES {
        if !words.contains(name) || !words.contains(&tag.to_string().as_str()) {
            writeln!(absent, "tag {name} ({tag})").unwrap();
        }
    }
    assert!(absent.is_empty(), "docs/protocol.md is without\n{absent}");
}

#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let dependency = format!("saranwrap = {{ path = \"crates/saranwrap\", version = \"{version}\" }}");
    assert!(read("Cargo.toml").contains(&dependency), "Cargo.toml: {dependency}");
    let heading = format!("## [{version}]");
    assert!(read("CHANGELOG.md").contains(&heading), "CHANGELOG.md has no heading {heading}");
    let project = read("pyproject.toml");
    let own = project.lines().find_map(|line| line.strip_prefix("version = "));
    assert!(own.is_none_or(|own| own == format!("\"{version}\"")), "pyproject.toml: {own:?}");
}

#[test]
fn the_members_of_the_rooms_above_are_found() {
    // The checks above look for text; a rule that finds nothing must not pass for want of looking.
    let names = rooms("crates/saranwrap/src/lib.rs");
    let expected = [
        "error",
        "wire",
        "message",
        "op",
        "table",
        "host",
        "sys",
        "arena",
        "transport",
        "pending",
        "link",
        "child",
        "zygote",
        "agent",
        "remote",
        "program",
        "python",
    ];
    assert_eq!(names, expected);
    assert!(begins_function("    pub(super) fn other(self) -> Self {"));
    assert!(begins_function("fn main() {"));
    assert!(is_unsafe("    let x = unsafe { y() };"));
    assert!(is_unsafe("unsafe impl Send for X {}"));
    assert!(!is_unsafe("its successor is unsafe; and unsafe_code is a lint"));
    assert!(!begins_function("    let f = |fn_name| ();"));
    assert!(!begins_function("/// A fn in prose (here)"));
}
