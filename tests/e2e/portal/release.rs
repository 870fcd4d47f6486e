//! Releases at the portal: what one picks is looked through, shown, signed by a second person where the role
//! asks for it, and then followed.

use super::pages::check;
use super::{Stage, between, done, text};

/// The boxes of a form that are ticked, and what it says.
fn fields<'a>(stamp: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("field", "description"),
        ("field", "latitude"),
        ("field", "longitude"),
        ("tlp", "GREEN"),
        ("stamp", stamp),
    ];
    fields.extend_from_slice(more);
    fields
}

#[test]
fn a_release_is_looked_through_and_signed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let record = stage
        .record(&[
            "--kind",
            "incident",
            "--label",
            "TLP:AMBER",
            "--set",
            "name=Moussa Ibrahim stopped",
            "--set",
            "description=Ibrahim had the van CT 1234 A with him at the ford",
            "--set",
            "latitude=13.31234",
            "--set",
            "longitude=14.10345",
        ])
        .unwrap();
    let path = format!("/record/{record}/release");
    // Of a coalition of one there is nobody else to release to; the page says so for a compartment of its own.
    let mut analyst = stage.operator("Amina", "analyst", "RED").unwrap();
    let form = analyst.get(&path).unwrap();
    assert_eq!(form.status, 200, "{}", form.body);
    check(&path, &form.body);
    let nothing = analyst.post(&path, &[("act", "preview"), ("rel", "1")]).unwrap();
    assert_eq!(nothing.status, 400);
    check(&path, &nothing.body);
    assert!(nothing.body.contains("Pick at least one field."), "{}", nothing.body);
    let both = analyst.post(&path, &fields("", &[("act", "preview")])).unwrap();
    assert!(both.body.contains("not both"), "{}", both.body);
    // The record is in the compartment of our agency alone, which is the audience asked for.
    let own = analyst.post(&path, &fields("", &[("act", "preview"), ("rel", "1")])).unwrap();
    assert_eq!(own.status, 400, "{}", own.body);
    assert!(own.body.contains("the record is in that compartment"), "{}", own.body);
    assert!(own.body.contains("value=\"description\" checked=\"checked\""), "picks are kept");
}

#[test]
fn a_release_goes_to_others_when_both_have_seen_it() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::of_two(folder.path()).unwrap();
    let record = stage
        .record(&[
            "--kind",
            "incident",
            "--label",
            "TLP:AMBER",
            "--set",
            "name=Moussa Ibrahim stopped",
            "--set",
            "description=Ibrahim had the van CT 1234 A with him at the ford",
            "--set",
            "latitude=13.31234",
            "--set",
            "longitude=14.10345",
        ])
        .unwrap();
    // The command line says the same.
    let told =
        ["record", "release", &record, "--rel", "TD", "--fields", "description,latitude,longitude"];
    let refused = stage.daemon.command(&told).unwrap();
    assert_eq!(refused.code, 8, "{}", refused.document);
    let dry = done(stage.daemon.command(&[&told[..], &["--dry-run"]].concat()).unwrap());
    let leaks: Vec<&str> =
        dry["leaks"].as_array().unwrap().iter().map(|leak| text(&leak["kind"])).collect();
    for kind in ["withheld", "identifier", "exact-place"] {
        assert!(leaks.contains(&kind), "{dry}");
    }
    assert_eq!(text(&dry["released"]), "");
    assert_eq!(dry["receivers"].as_array().unwrap().len(), 1, "{dry}");

    let path = format!("/record/{record}/release");
    let mut analyst = stage.operator("Amina", "analyst", "RED").unwrap();
    analyst.get(&path).unwrap();
    let coarse = [("rel", "2"), ("square", "10"), ("step", "day")];
    let preview =
        analyst.post(&path, &fields("", &[&coarse[..], &[("act", "preview")]].concat())).unwrap();
    assert_eq!(preview.status, 200, "{}", preview.body);
    check(&path, &preview.body);
    assert!(preview.body.contains("CT 1234 A") && !preview.body.contains("more exact than"));
    let stamp = between(&preview.body, "name=\"stamp\" value=\"", "\"").to_owned();
    let release =
        [("act", "release"), ("sure", "yes"), ("despite", "yes"), ("reason", "joint patrol")];
    let all = [&coarse[..], &release].concat();
    // Other fields than those that were looked at are not released.
    let other = fields("00", &all);
    let other = analyst.post(&path, &other).unwrap();
    assert_eq!(other.status, 409, "{}", other.body);
    let handed = analyst.post(&path, &fields(&stamp, &all)).unwrap();
    assert_eq!(handed.status, 303, "{}", handed.body);
    assert!(handed.header("location").ends_with("done=prepared"));
    assert_eq!(analyst.get("/releases").unwrap().status, 403);

    let mut officer = stage.operator("Moussa", "watch-officer", "RED").unwrap();
    let waiting = officer.get("/releases").unwrap();
    check("/releases", &waiting.body);
    assert!(waiting.body.contains("joint patrol") && waiting.body.contains(&record));
    // To look at it discloses nothing: it is a consultation, as any other page.
    let looks = |event: &str| {
        let show = ["audit", "show", "--event", event, "--operator", "Moussa"];
        done(stage.daemon.command(&show).unwrap())["entries"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((looks("disclosure"), looks("consultation") > 0), (0, true));
    let id = between(&waiting.body, "name=\"release\" value=\"", "\"").to_owned();
    // Who may not see the record does not learn that something waits.
    let mut low = stage.operator("Low", "watch-officer", "GREEN").unwrap();
    assert!(!low.get("/releases").unwrap().body.contains(&record));
    let sign = [("release", id.as_str()), ("act", "sign"), ("sure", "yes")];
    assert_eq!(low.post("/releases/decide", &sign).unwrap().status, 404);
    let signed = officer.post("/releases/decide", &sign).unwrap();
    assert_eq!(signed.status, 303, "{}", signed.body);
    assert_eq!(officer.post("/releases/decide", &sign).unwrap().status, 404, "once");
    let shown = done(stage.daemon.command(&["record", "list", "--kind", "incident"]).unwrap());
    let rows = shown["records"].as_array().unwrap();
    let released = rows.iter().find(|row| row["record"] != record.as_str()).unwrap();
    assert_eq!(released["label"], "TLP:GREEN");
    let released =
        done(stage.daemon.command(&["record", "show", text(&released["record"])]).unwrap());
    assert!(released["fields"].get("name").is_none(), "{released}");
    assert!((released["fields"]["latitude"].as_f64().unwrap() - 13.31234).abs() > 1e-4);

    // A watch officer releases alone; what he prepared himself he does not sign.
    let preview =
        officer.post(&path, &fields("", &[&coarse[..], &[("act", "preview")]].concat())).unwrap();
    let stamp = between(&preview.body, "name=\"stamp\" value=\"", "\"").to_owned();
    let alone = officer.post(&path, &fields(&stamp, &all)).unwrap();
    assert_eq!(alone.status, 303, "{}", alone.body);
    assert!(alone.header("location").ends_with("done=released"), "{}", alone.header("location"));
    // What is said of the record is said of its releases, and who obeyed is shown.
    let withhold = format!("/record/{record}/withhold");
    check(&withhold, &officer.get(&withhold).unwrap().body);
    let say = [("said", "restrict"), ("sure", "yes")];
    assert_eq!(officer.post(&format!("/record/{record}/say"), &say).unwrap().status, 303);
    let page = officer.get(&withhold).unwrap();
    check(&withhold, &page.body);
    assert!(page.body.contains(">Restrict "), "{}", page.body);
    let lift = [("said", "lift"), ("sure", "yes")];
    assert_eq!(officer.post(&format!("/record/{record}/say"), &lift).unwrap().status, 303);
    assert!(officer.get(&withhold).unwrap().body.contains("Lifted"));
}

#[test]
fn what_was_typed_into_a_form_that_is_refused_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::of_two(folder.path()).unwrap();
    let note = stage.record(&["--kind", "incident", "--set", "name=x"]).unwrap();
    let mut officer = stage.operator("Amina", "watch-officer", "RED").unwrap();
    officer.get("/board").unwrap();
    let long = "A long <description>, typed in a hurry, and with a \"quote\". ".repeat(4);
    let edit = format!("/record/{note}/edit");
    let wrong =
        officer.post(&edit, &[("set.confidence", "many"), ("set.description", &long)]).unwrap();
    assert_eq!(wrong.status, 400, "{}", wrong.body);
    check(&edit, &wrong.body);
    assert!(wrong.body.contains("value=\"many\"") && wrong.body.contains("typed in a hurry"));
    assert!(wrong.body.contains(&format!("action=\"{edit}\"")));
    // The token was another's, or of a session that ended.
    let token = std::mem::replace(&mut officer.token, "0".repeat(64));
    let late = officer.post(&format!("/record/{note}/note"), &[("content", &long)]).unwrap();
    assert_eq!(late.status, 403);
    assert!(late.body.contains("typed in a hurry") && !late.body.contains(&"0".repeat(64)));
    officer.token = token;
    // What the mesh refuses is not put down to the role.
    let other = stage.of_the_other().unwrap();
    let denied = officer
        .post(&format!("/record/{other}/say"), &[("said", "recall"), ("sure", "yes")])
        .unwrap();
    assert_eq!(denied.status, 403, "{}", denied.body);
    assert!(denied.body.contains("Refused by the mesh"), "{}", denied.body);
    assert!(!denied.body.contains("Your role does not"), "{}", denied.body);
    // Names of other records are shown as their titles.
    let sighting = format!(
        "sighting_of_ref=vehicle--{}",
        "1".repeat(8) + "-1111-4111-8111-" + &"1".repeat(12)
    );
    let seen = stage.record(&["--kind", "sighting", "--set", &sighting]).unwrap();
    let page = officer.get(&format!("/record/{seen}")).unwrap();
    assert!(page.body.contains("vehicle--11111111"), "a name without a record is shown as it is");
    let vehicle = stage.record(&["--kind", "vehicle", "--set", "plate=CT 1234 A"]).unwrap();
    let seen = stage
        .record(&["--kind", "sighting", "--set", &format!("sighting_of_ref={vehicle}")])
        .unwrap();
    let page = officer.get(&format!("/record/{seen}")).unwrap();
    let fields = between(&page.body, "<dl class=\"facts\">", "</dl>");
    assert!(fields.contains("CT 1234 A") && !fields.contains(&format!(">{vehicle}<")), "{fields}");
}

#[test]
fn who_has_a_record_is_not_offered_it() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::of_two(folder.path()).unwrap();
    let mut officer = stage.operator("Amina", "watch-officer", "RED").unwrap();
    let form = |browser: &mut super::Browser, room: &str| {
        let new = ["--kind", "incident", "--compartment", room, "--set", "name=x"];
        let record = stage.record(&new).unwrap();
        browser.get(&format!("/record/{record}/release")).unwrap().body
    };
    let offers = |body: &str| (body.contains("name=\"rel\""), body.contains(">both</option>"));
    assert_eq!(offers(&form(&mut officer, "home")), (true, true));
    assert_eq!(offers(&form(&mut officer, "both")), (false, false));
}
