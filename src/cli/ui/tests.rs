use super::*;

/// What was printed.
#[derive(Clone, Default)]
pub(crate) struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A screen without colour, and what is printed on it.
pub(crate) fn mk_ui(output: Output) -> (Ui, Printed) {
    let printed = Printed::default();
    (Ui::new(printed.clone(), io::sink(), output, false), printed)
}

#[test]
fn colour_is_only_printed_where_it_is_wanted() {
    let (plain, _) = mk_ui(Output::Table);
    assert_eq!(plain.paint(Style::Red, "x"), "x");
    let colored = Ui::new(io::sink(), io::sink(), Output::Table, true);
    assert_eq!(colored.paint(Style::Red, "x"), "\x1b[31mx\x1b[0m");
}

#[test]
fn json_says_the_same_in_letters_that_no_terminal_obeys() {
    let (ui, printed) = mk_ui(Output::Json);
    let text = "a\u{202e}b\u{9b}c\u{7f}d\u{e0041}e\n\u{2028}";
    ui.json(&json!({"text": text, "empty": []})).unwrap();
    assert!(printed.text().chars().all(|letter| letter == '\n' || !is_unsafe(letter)), "{:?}", printed.text());
    assert_eq!(serde_json::from_str::<Value>(&printed.text()).unwrap()["text"], text);
}

#[test]
fn remarks_and_errors_have_nothing_that_a_terminal_would_obey() {
    let printed = Printed::default();
    let ui = Ui::new(io::sink(), printed.clone(), Output::Table, false);
    ui.warn("a\x1b[2J\u{202e}b");
    ui.fail(&Failure::new("c\nerror: \x1b]0;d").hint("e\n    \u{202e}f"));
    assert_eq!(printed.text(), "warning: a [2Jb\nerror: c error:  ]0;d\n  hint: e\n    f\n");
}

#[test]
fn a_word_for_a_shell_is_the_word_once_a_shell_has_read_it() {
    for word in ["a-b/c.zip", "", "a b", "it's", "\"$HOME\"", "\\'", "~", "*"] {
        let said = std::process::Command::new("bash").arg("-c").arg(format!("printf %s {}", quoted(word))).output();
        assert_eq!(String::from_utf8(said.unwrap().stdout).unwrap(), word, "{}", quoted(word));
    }
    assert_eq!(quoted("a\u{202e} b\x1b[2J"), "'a b [2J'", "nothing that a terminal would obey");
}

#[test]
fn programs_get_remarks_and_errors_as_json_too() {
    let printed = Printed::default();
    let ui = Ui::new(io::sink(), printed.clone(), Output::Json, false);
    ui.warn("look");
    ui.fail(&Failure::new("it broke"));
    let lines: Vec<Value> = printed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["note"], &lines[1]["error"]["message"]), (&"warning: look".into(), &"it broke".into()));
}

#[test]
fn columns_are_aligned_by_what_is_seen() {
    let (ui, printed) = mk_ui(Output::Table);
    let mut table = Table::new(&["ID", "NAME", "STATE"]);
    table.row(["1".into(), "Grüße".into(), "active".into()]);
    table.row(["22".into(), "x".into(), "".into()]);
    table.row(["3".into(), "世e\u{301}\u{202e}界".into(), "error".into()]);
    table.print(&ui).unwrap();
    let expected = "ID  NAME   STATE\n1   Grüße  active\n22  x\n3   世e\u{301}界  error\n";
    assert_eq!(printed.text(), expected, "a wide letter takes two columns, a mark none");
}

#[test]
fn colour_does_not_count_as_width() {
    let printed = Printed::default();
    let ui = Ui::new(printed.clone(), io::sink(), Output::Table, true);
    let mut table = Table::new(&["A", "B"]);
    table.row([Cell::styled("long", Style::Green), "b".into()]);
    table.print(&ui).unwrap();
    assert_eq!(printed.text(), "\x1b[1mA\x1b[0m     \x1b[1mB\x1b[0m\n\x1b[32mlong\x1b[0m  b\n");
}

#[test]
fn what_was_meant_is_guessed_from_a_slip_or_the_beginning() {
    let keys = ["id", "author", "name", "description", "version", "command", "args", "events_consumed"];
    let keys = || keys.into_iter().chain(["access", "configuration_schema", "capabilities"]);
    for (written, meant) in [
        ("comand", "command"),
        ("commnad", "command"),
        ("commando", "command"),
        ("kommand", "command"),
        ("Command", "command"),
        ("argss", "args"),
        ("events", "events_consumed"),
        ("config_schema", "configuration_schema"),
    ] {
        assert_eq!(nearest(written, keys()), [meant], "{written}");
    }
    for written in ["homepage", "icon", "license", "main", "x"] {
        assert_eq!(nearest(written, keys()), [""; 0], "{written}");
    }
}
