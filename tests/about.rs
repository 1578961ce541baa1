//! What the server tells of itself: what it is, how its parts are, and what it finds when it looks at its host and settings.

use plugd::api::v1::{
    GetServerRequest, GetServerResponse, Role, RunDoctorRequest, SandboxLevel,
    finding::{Outcome, Topic},
};
use tonic::{Code, Status};

use crate::harness::{Api, Plugd, QUICK, Run, children, cli, eventually, within};

async fn server(api: &Api) -> Result<GetServerResponse, Status> {
    Ok(api.about().get_server(GetServerRequest {}).await?.into_inner())
}

#[tokio::test]
async fn a_server_tells_what_it_is_and_how_its_parts_are() {
    let plugd = Plugd::with(&[QUICK, &[("PLUGD_SANDBOX", "strict")]].concat()).await;
    let (_, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;
    let told = server(&plugd.api_as(Some(&viewer))).await.unwrap();
    assert_eq!(told.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(told.data_folder, plugd.data_dir().to_str().unwrap());
    assert_eq!((told.database.as_str(), told.sandbox()), ("SQLite", SandboxLevel::Strict));
    assert!(!told.host_name.is_empty() && told.start_time.unwrap().seconds > 1_700_000_000);
    let parts: Vec<_> = told.parts.iter().map(|part| (part.name.as_str(), part.is_healthy)).collect();
    assert_eq!(parts, [("store", true), ("records", true), ("processes", true), ("audit trail", true)]);

    let (_, host) = plugd.api().create_token("host", Role::Host).await;
    assert_eq!(server(&plugd.api_as(Some(&host))).await.unwrap_err().code(), Code::PermissionDenied);
    let table = cli(&plugd, &["server"]).run().await;
    assert!(table.text().contains("the database answers"), "{table:?}");
    let json = cli(&plugd, &["server", "-o", "json"]).run().await.json();
    assert_eq!((&json["sandbox"], &json["parts"][2]["name"]), (&"strict".into(), &"processes".into()));
}

#[tokio::test]
async fn a_server_looks_at_itself_once_for_all_who_ask_and_leaves_nothing_behind() {
    let plugd = Plugd::start().await;
    let run = async |api: &Api| api.about().run_doctor(RunDoctorRequest {}).await.unwrap().into_inner().findings;
    // Its keeper is its only process before and after; what the doctor starts are others.
    let has_children = async |is_so: fn(usize) -> bool| {
        eventually("its processes", || Some(children(plugd.pid()).len()).filter(|count| is_so(*count))).await
    };
    let api = plugd.api();
    let gone = tokio::spawn(async move { api.about().run_doctor(RunDoctorRequest {}).await });
    has_children(|count| count > 1).await;
    gone.abort();
    has_children(|count| count == 1).await;

    let (one, other) = (plugd.api(), plugd.api());
    let (found, same) = within("the examination", async { tokio::join!(run(&one), run(&other)) }).await;
    assert_eq!(found, same);
    let has = |topic| found.iter().any(|finding| finding.topic() == topic);
    assert!(has(Topic::Host) && has(Topic::Settings) && has(Topic::Protections), "{found:?}");
    let of = |subject: &str| {
        let found_of_it = found.iter().find(|finding| finding.subject == subject);
        found_of_it.unwrap_or_else(|| panic!("{subject} is not among {found:?}"))
    };
    let held = of("read the administrator's token");
    assert_eq!(held.outcome(), Outcome::Ok, "{held:?}");
    let seen = of("server");
    assert!(seen.found.contains(&plugd.pid().to_string()), "{seen:?}");

    has_children(|count| count == 1).await;
    let told = cli(&plugd, &["server", "--doctor", "-o", "json"]).run().await;
    let told = told.json();
    assert_eq!(told["findings"].as_array().unwrap().len(), found.len());

    let (_, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;
    let refused = plugd.api_as(Some(&viewer)).about().run_doctor(RunDoctorRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
