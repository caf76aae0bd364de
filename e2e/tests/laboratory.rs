//! `tidegate lab`: how it ends, and what it prints and writes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tidegate_testkit::proxy::program;

fn lab(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("lab").args(arguments).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const SMALL: &str = "name = 'small'\ntitle = 'two endpoints'\nlasts = '3s'\nwarm_up = '1s'\nload = 0.5\n\
                     algorithms = ['round_robin', 'adaptive']\n[[endpoints]]\ncount = 2\n";

#[test]
fn a_scenario_is_run_shown_and_written_as_a_page() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.toml"), SMALL).unwrap();
    let run = lab(folder.path(), &["run", "small.toml", "--json", "--html", "page.html"]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let results: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(results[0]["outcomes"][1]["algorithm"], "adaptive");
    std::fs::write(folder.path().join("results.json"), &run.stdout).unwrap();
    let shown = lab(folder.path(), &["show", "results.json"]);
    assert!(text(&shown.stdout).contains("| round_robin |"), "{}", text(&shown.stdout));
    assert!(std::fs::read_to_string(folder.path().join("page.html")).unwrap().contains("</html>"));
}

#[test]
fn a_goal_that_is_missed_ends_with_1_and_a_file_that_is_no_scenario_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let goal = "[[goal]]\nmeasure = 'p99'\nat_most = 0.001\n";
    std::fs::write(folder.path().join("missed.toml"), format!("{SMALL}{goal}")).unwrap();
    let missed = lab(folder.path(), &["run", "missed.toml"]);
    assert_eq!(missed.status.code(), Some(1));
    assert!(text(&missed.stdout).contains("DOES NOT HOLD: adaptive: p99 at most 0.001 ms"));
    std::fs::write(folder.path().join("wrong.toml"), SMALL.replace("count", "cuont")).unwrap();
    let wrong = lab(folder.path(), &["run", "wrong.toml"]);
    assert_eq!(wrong.status.code(), Some(78));
    assert!(text(&wrong.stderr).contains("wrong.toml is no scenario: TOML parse error at line 8, column 1"));
}

#[test]
fn a_log_of_several_clusters_is_replayed_by_the_one_that_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let line = |cluster: &str| {
        format!(
            r#"{{"time":"2026-11-23T01:14:19.123Z","cluster":"{cluster}","endpoint":"a:1","status":200,"first_byte_ms":5.0}}"#
        )
    };
    let log = format!("{}\n{}\n{}\n", line("shop"), line("api"), line("shop"));
    std::fs::write(folder.path().join("access.log"), log).unwrap();
    let ends = |cluster: &[&str], code, said: &str| {
        let arguments = [&["replay", "access.log", "--algorithm", "adaptive"], cluster].concat();
        let replay = lab(folder.path(), &arguments);
        let all = text(&replay.stdout) + &text(&replay.stderr);
        assert_eq!(replay.status.code(), Some(code), "{all}");
        assert!(all.contains(said), "{all}");
    };
    ends(
        &[],
        78,
        "access.log cannot be replayed: its requests went to 2 clusters, and a replay is of one: shop (2 requests), api (1); choose it with --cluster shop",
    );
    ends(&["--cluster", "shpo"], 78, "a cluster `shpo` (did you mean `shop`?)");
    ends(&["--cluster", "shop"], 0, "recorded traffic of shop by other algorithms");
}

#[test]
fn an_access_log_is_replayed_and_its_bad_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"time":"2026-11-23T01:14:19.123Z","client":"c","endpoint":"a:1","status":200,"queue_ms":0.1,"first_byte_ms":5.0}"#;
    std::fs::write(folder.path().join("access.log"), format!("{line}\nnonsense\n{line}\n")).unwrap();
    let replay = lab(folder.path(), &["replay", "access.log", "--algorithm", "adaptive"]);
    assert_eq!(replay.status.code(), Some(0), "{}", text(&replay.stderr));
    assert!(text(&replay.stdout).contains("(the log)") && text(&replay.stdout).contains("a:1: "));
    assert!(
        text(&replay.stdout).contains("- so the log's own choices come out with a p50 of"),
        "{}",
        text(&replay.stdout)
    );
    assert!(
        text(&replay.stderr).contains("1 of 3 lines could not be read and are left out; the first is line 2")
    );
    std::fs::write(folder.path().join("nonsense.log"), "nonsense\n").unwrap();
    let refused = lab(folder.path(), &["replay", "nonsense.log"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(
        text(&refused.stderr)
            .contains("nonsense.log cannot be replayed: no line of it could be read; line 1")
    );
}

#[test]
fn a_log_comes_from_standard_input_and_a_page_does_not_go_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"time":"2026-11-23T01:14:19.123Z","endpoint":"a:1","status":200,"first_byte_ms":5.0}"#;
    let log = folder.path().join("access.log");
    std::fs::write(&log, format!("{line}\n{line}\n")).unwrap();
    let mut command = Command::new(program());
    command.args(["lab", "replay", "-", "--json"]).stdin(std::fs::File::open(&log).unwrap());
    let replayed = command.output().unwrap();
    assert_eq!(replayed.status.code(), Some(0), "{}", text(&replayed.stderr));
    let results: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert!(results.to_string().contains("adaptive"), "{results}");
    let page = lab(folder.path(), &["replay", "access.log", "--html", "-"]);
    let said = text(&page.stderr);
    assert!(page.status.code() != Some(0) && said.contains("--html page.html"), "{said}");
}

#[test]
fn a_scenario_that_is_no_text_is_told_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("latin1.toml"), b"name = 'x'\ntitle = 'caf\xe9'\n").unwrap();
    let run = lab(folder.path(), &["run", "latin1.toml"]);
    let said = text(&run.stderr);
    assert!(run.status.code() != Some(0) && said.contains("line 2, byte 13 is not UTF-8"), "{said}");
}

#[test]
fn a_name_where_a_file_should_be_and_a_goal_that_nobody_judges_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let goal = "[[goal]]\nmeasure = 'p99'\nat_most = 2\ntimes = 'round_robin'\n";
    std::fs::write(folder.path().join("small.toml"), format!("{SMALL}{goal}")).unwrap();
    let run = |arguments: &[&str]| text(&lab(folder.path(), &[&["run"], arguments].concat()).stderr);
    assert!(run(&["g2"]).contains("there is no file g2: write --scenario G2"), "{}", run(&["g2"]));
    let twice = run(&["small.toml", "--algorithm", "adaptive", "round_robin"]);
    assert!(twice.contains("there is no file round_robin: write --algorithm round_robin"), "{twice}");
    let alone = run(&["small.toml", "--algorithm", "adaptive"]);
    assert!(alone.contains("goals that are not judged without --algorithm round_robin: 1"), "{alone}");
    assert_eq!(run(&["small.toml", "--algorithm", "adaptive,round_robin", "--seed", "1,2"]), "");
    let short = run(&["small.toml", "--seconds", "1"]);
    assert!(short.contains("small.toml cannot be run with --seconds 1: a warm-up of 1 s"), "{short}");
}

#[test]
fn what_never_ends_is_said_in_words_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let stands = "stalls = { lasts = '1h', every = '1s' }\n[[goal]]\nmeasure = 'p99'\nat_most = 5\n";
    std::fs::write(folder.path().join("stands.toml"), format!("{SMALL}{stands}")).unwrap();
    let run = lab(folder.path(), &["run", "stands.toml", "--json"]);
    let results: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(results[0]["verdicts"][0]["value"], "never", "{}", results[0]["verdicts"]);
    std::fs::write(folder.path().join("results.json"), &run.stdout).unwrap();
    let shown = text(&lab(folder.path(), &["show", "results.json"]).stdout);
    assert!(shown.contains("DOES NOT HOLD: adaptive: p99 at most 5 ms (never, against 5.000)"), "{shown}");
}

#[test]
fn a_log_of_failures_alone_tells_no_latency() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"time":"2026-11-23T01:14:19.123Z","endpoint":"a:1","status":502,"first_byte_ms":5.0}"#;
    std::fs::write(folder.path().join("access.log"), format!("{line}\n{line}\n")).unwrap();
    let replay = lab(folder.path(), &["replay", "access.log", "--algorithm", "adaptive"]);
    let told = text(&replay.stdout);
    assert!(told.contains("all requests of the log failed") && !told.contains("p50 of"), "{told}");
}
