//! policy get, set, unset.

use serde_json::json;

use super::{json_of, run};
use crate::harness::Plugd;

#[tokio::test]
async fn the_command_line_decides_shows_and_takes_back() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    let set = ["policy", "set", "chaos", "limit-open-files=99", "max-restart-attempts=unlimited", "env.KEY=a=b"];
    let decided = json!({"limit-open-files": "99", "max-restart-attempts": "unlimited", "env.KEY": "[secret]"});
    assert_eq!(json_of(&plugd, &set).await, decided);
    let shown = run(&plugd, &["policy", "get", "chaos"]).await;
    assert_eq!(shown.text(), "limit-open-files=99\nmax-restart-attempts=unlimited\nenv.KEY=a=b\n");
    let left = json_of(&plugd, &["policy", "unset", "chaos", "env.KEY", "limit-open-files"]).await;
    assert_eq!(left, json!({"max-restart-attempts": "unlimited"}));

    let file = plugd.scratch().join("key");
    std::fs::write(&file, "from a file\n").unwrap();
    let set = json_of(&plugd, &["policy", "set", "chaos", &format!("env.KEY=@{}", file.display())]).await;
    assert_eq!(set["env.KEY"], "[secret]");
    assert_eq!(json_of(&plugd, &["policy", "get", "chaos"]).await["env.KEY"], "from a file");

    let failed = run(&plugd, &["policy", "set", "chaos", "sandbox-read=/no/such/file", "max-restart-attempts=0"]).await;
    assert!(failed.stderr.contains("the policy is stored all the same"), "{}", failed.stderr);
    assert!(failed.stderr.contains("plugd policy unset ID KEY"), "{}", failed.stderr);
    json_of(&plugd, &["policy", "unset", "chaos", "sandbox-read", "max-restart-attempts"]).await;

    let slip = run(&plugd, &["policy", "set", "chaos", "limit-memry=1GiB"]).await;
    assert_eq!(slip.code(), Some(2));
    assert!(slip.stderr.contains("did you mean"), "{}", slip.stderr);
    let late = run(&plugd, &["policy", "set", "chaos", "grace=1s", "--if-generation", "1"]).await;
    assert!(!late.status.success() && late.stderr.contains("generation"), "{}", late.stderr);
}
