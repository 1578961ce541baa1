use super::*;
use crate::{api::v1::Failure, cli::tests::fake::mk_plugin};

pub(in crate::cli::top) fn mk_top(plugins: impl IntoIterator<Item = Plugin>) -> Top {
    let mut top = Top::new("http://127.0.0.1:8000".to_owned(), true);
    top.connection = Connection::Live;
    top.replace(plugins.into_iter().map(|plugin| (plugin.id.clone(), plugin)).collect());
    top.select();
    top
}

/// A plugin with a run, if it has any in such a state.
pub(in crate::cli::top) fn mk(id: &str, name: &str, state: ReportedState) -> Plugin {
    let mut plugin = mk_plugin(id, name, state, 1);
    let is_running = !matches!(state, ReportedState::Inactive | ReportedState::Error);
    let failure = Failure { message: "exit status 1".to_owned(), ..Failure::default() };
    if let Some(status) = &mut plugin.status {
        status.run_id = is_running.then(|| format!("run of {id}"));
        status.failure = (state == ReportedState::Error).then_some(failure);
    }
    plugin
}

/// What a plugin uses, as ListPlugins tells it.
pub(in crate::cli::top) fn mk_used(plugin: &Plugin, cpu_millis: u32, memory_bytes: u64) -> Plugin {
    let mut used = plugin.clone();
    let usage = Usage { cpu_millis: Some(cpu_millis), memory_bytes, ..Usage::default() };
    used.status.as_mut().unwrap().usage = Some(usage);
    used
}

pub(in crate::cli::top) fn press(top: &mut Top, keys: &str) -> Option<Action> {
    keys.chars().map(|key| top.key(KeyCode::Char(key).into())).last().unwrap()
}

fn names(top: &Top) -> Vec<&str> {
    top.rows().into_iter().map(|plugin| plugin.name.as_str()).collect()
}

fn selected(top: &mut Top) -> &str {
    top.select();
    &top.selected().unwrap().name
}

fn mk_three() -> [Plugin; 3] {
    [
        mk("1", "Bear", ReportedState::Active),
        mk("2", "Ape", ReportedState::Error),
        mk("3", "Cat", ReportedState::Inactive),
    ]
}

#[test]
fn a_plugin_stays_selected_where_others_come_and_go() {
    let mut top = mk_top(mk_three());
    assert_eq!(names(&top), ["Ape", "Bear", "Cat"]);
    assert_eq!(selected(&mut top), "Ape");
    press(&mut top, "j");
    assert_eq!(selected(&mut top), "Bear");
    top.changed("0".to_owned(), Some(mk("0", "Ant", ReportedState::Active)));
    assert_eq!(selected(&mut top), "Bear", "its place is another one");
    top.changed("1".to_owned(), None);
    assert_eq!(selected(&mut top), "Cat", "what is in its place now");
    press(&mut top, "jjj");
    assert_eq!(selected(&mut top), "Cat", "it is the last");
    press(&mut top, "kkkkk");
    assert_eq!(selected(&mut top), "Ant");
    press(&mut top, "G");
    assert_eq!(selected(&mut top), "Cat");
    top.replace(BTreeMap::new());
    assert_eq!((top.select(), press(&mut top, "s"), press(&mut top, "l")), (None, None, None));
}

#[test]
fn keys_ask_for_changes_of_the_plugin_that_is_selected() {
    let mut top = mk_top(mk_three());
    assert_eq!(press(&mut top, "s"), Some(Action::Change(Change::Start, "2".to_owned())));
    assert_eq!(press(&mut top, "jx"), Some(Action::Change(Change::Stop, "1".to_owned())));
    assert_eq!(press(&mut top, "r"), Some(Action::Change(Change::Restart, "1".to_owned())));
    assert_eq!(press(&mut top, "d"), None);
    assert_eq!(press(&mut top, "q"), Some(Action::Quit));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for mode in [Mode::Table, Mode::Filter, Mode::Help] {
        top.mode = mode;
        assert_eq!(top.key(interrupt), Some(Action::Quit), "{mode:?}");
    }
}

#[test]
fn a_filter_is_written_kept_and_dropped() {
    let mut top = mk_top(mk_three());
    press(&mut top, "/xqA");
    assert_eq!((names(&top), top.mode), (vec![], Mode::Filter), "keys are letters meanwhile");
    top.key(KeyCode::Backspace.into());
    top.key(KeyCode::Backspace.into());
    top.key(KeyCode::Backspace.into());
    press(&mut top, "ERR");
    top.key(KeyCode::Enter.into());
    assert_eq!((names(&top), top.mode), (vec!["Ape"], Mode::Table), "the one in error");
    top.key(KeyCode::Esc.into());
    assert_eq!(names(&top).len(), 3);
    press(&mut top, "/");
    press(&mut top, &"a".repeat(1000));
    assert_eq!(top.filter.len(), MAX_FILTER);
}

#[test]
fn plugins_are_sorted_by_what_is_asked_for() {
    let [bear, ape, cat] = mk_three();
    let mut dog = mk("4", "Dog", ReportedState::Active);
    dog.status.as_mut().unwrap().restart_count = 2;
    let mut top = mk_top([bear.clone(), ape, cat, dog.clone()]);
    top.sampled(vec![mk_used(&bear, 10, 2000), mk_used(&dog, 900, 1000)]);
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push((top.order.word(), names(&top).join(" ")));
        press(&mut top, "o");
    }
    let expected = [
        ("name", "Ape Bear Cat Dog"),
        ("state", "Ape Bear Dog Cat"),
        ("cpu", "Dog Bear Ape Cat"),
        ("memory", "Bear Dog Ape Cat"),
        ("restarts", "Dog Ape Bear Cat"),
    ];
    assert_eq!(orders, expected.map(|(order, names)| (order, names.to_owned())));
    assert_eq!(top.order, Order::Name);
}

#[test]
fn a_plugin_that_stopped_uses_nothing() {
    let bear = mk("1", "Bear", ReportedState::Active);
    let mut top = mk_top([bear.clone()]);
    top.sampled(vec![mk_used(&bear, 1, 1)]);
    assert!(top.usage(&bear).is_some());
    let stopped = mk("1", "Bear", ReportedState::Inactive);
    assert_eq!(top.usage(&stopped), None, "what was sampled before does not count");
}

#[test]
fn a_log_is_bounded_sanitized_and_stays_where_it_is_read() {
    let mut top = mk_top(mk_three());
    top.log_line("nobody reads this");
    assert_eq!(press(&mut top, "l"), Some(Action::OpenLog("2".to_owned())));
    for number in 0..2 * MAX_LINES {
        top.log_line(&format!("\x1b[2J{number}{}", "x".repeat(2 * MAX_LINE)));
    }
    let log = top.log.as_ref().unwrap();
    assert_eq!(log.lines.len(), MAX_LINES);
    assert!(log.lines.iter().all(|line| !line.contains('\x1b') && line.chars().count() <= MAX_LINE + 1));
    top.key(KeyCode::PageUp.into());
    assert_eq!(top.log.as_ref().unwrap().back, PAGE);
    top.log_line("new");
    assert_eq!(top.log.as_ref().unwrap().back, PAGE + 1, "what is read does not move");
    (0..2 * MAX_LINES / PAGE).for_each(|_| drop(top.key(KeyCode::PageUp.into())));
    assert_eq!(top.log.as_ref().unwrap().back, MAX_LINES - 1);

    assert_eq!(press(&mut top, "jl"), Some(Action::OpenLog("1".to_owned())), "another plugin's");
    assert!(top.log.as_ref().unwrap().lines.is_empty());
    assert_eq!(press(&mut top, "l"), Some(Action::CloseLog));
    assert!(top.log.is_none());
    press(&mut top, "l");
    assert_eq!(top.key(KeyCode::Esc.into()), Some(Action::CloseLog));
}
