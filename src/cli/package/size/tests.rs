use super::*;

fn mk_file(name: &str, size: u64) -> File {
    File { name: name.to_owned(), path: name.into(), size, mode: 0o644 }
}

#[test]
fn too_many_files_are_told_with_where_they_are() {
    let modules = ["a", "b/c", "@s/d"].iter().zip([1500, 500, 40]);
    let mut files: Vec<_> = modules
        .flat_map(|(module, count)| (0..count).map(move |n| mk_file(&format!("node_modules/{module}/{n}.js"), 1)))
        .collect();
    files.extend((0..7).map(|n| mk_file(&format!("src/{n}.js"), 1)));
    check(&files).unwrap();
    files.push(mk_file("one-more", 1));
    let failure = check(&files).unwrap_err();
    let what = "there are 2049 files, and a package has at most 2048: node_modules 2040, src 7, one-more 1 (the most \
                within node_modules: a 1500, b 500, @s/d 40)";
    assert_eq!((failure.what.as_str(), failure.exit), (what, Exit::Refused));
    assert!(failure.hint.unwrap().contains("npm install --omit=dev"));
}

#[test]
fn a_file_and_all_files_that_are_too_large_are_told_with_their_sizes() {
    check(&[mk_file("a", 50 * MIB)]).unwrap();
    let one = check(&[mk_file("lib/a", 50 * MIB + MIB / 2)]).unwrap_err();
    assert_eq!(one.what, "lib/a has 50.5 MiB, and a file of a package at most 50 MiB");
    let mut files: Vec<_> = (0..4).map(|n| mk_file(&format!("lib/{n}"), 50 * MIB)).collect();
    check(&files).unwrap();
    files.push(mk_file("x", MIB));
    let all = check(&files).unwrap_err();
    assert_eq!(all.what, "the files have 201 MiB, and those of a package at most 200 MiB: lib 200 MiB, x 1 MiB");
    assert!(all.hint.unwrap().starts_with("name what the plugin does not need to run in .plugdignore"));
}
