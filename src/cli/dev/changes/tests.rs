use std::fs;

use super::*;

#[tokio::test]
async fn a_change_of_the_plugin_counts_and_one_elsewhere_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for folder in ["target", "data", "src"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::create_dir_all(root.join("node_modules/a")).unwrap();
    fs::write(root.join(PLUGDIGNORE), "*.ts\n").unwrap();
    let changes = Changes::of(&root, &root.join("data")).unwrap();
    fs::write(root.join("target/out"), "x").unwrap();
    fs::write(root.join("src/main.ts"), "x").unwrap();
    fs::write(root.join("data/plugd.db"), "x").unwrap();
    for dropping in ["src/.main.py.swp", "src/main.py~", "src/#main.py#"] {
        fs::write(root.join(dropping), "x").unwrap();
    }
    fs::read_dir(root.join("src")).unwrap().for_each(drop);
    let ignored = timeout(Duration::from_millis(400), changes.settled()).await;
    assert!(ignored.is_err(), "ignored folders count");
    fs::write(root.join("src/main.py"), "x").unwrap();
    timeout(Duration::from_secs(60), changes.settled()).await.unwrap();
    fs::write(root.join("node_modules/a/index.js"), "x").unwrap();
    timeout(Duration::from_secs(60), changes.settled()).await.unwrap();
    fs::write(root.join(PLUGDIGNORE), "").unwrap();
    timeout(Duration::from_secs(60), changes.settled()).await.unwrap();
    fs::write(root.join("src/main.ts"), "y").unwrap();
    timeout(Duration::from_secs(60), changes.settled()).await.unwrap();
}
