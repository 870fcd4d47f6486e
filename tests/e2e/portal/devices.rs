//! Devices, the quarantine inbox, bundles and files at the portal.

use super::pages::check;
use super::{Stage, between, done, text};

/// A PNG of one pixel.
const PICTURE: [u8; 69] = [
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 12, b'I', b'D', b'A', b'T',
    0x08, 0xd7, 0x63, 0xf8, 0xcf, 0xc0, 0, 0, 3, 1, 1, 0, 0x18, 0xdd, 0x8d, 0xb0, 0, 0, 0, 0, b'I',
    b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

#[test]
fn a_file_is_attached_shown_and_taken() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let record =
        stage.record(&["--kind", "incident", "--label", "TLP:RED", "--set", "name=x"]).unwrap();
    let mut officer = stage.operator("Amina", "watch-officer", "RED").unwrap();
    let path = format!("/record/{record}");
    officer.get(&path).unwrap();
    let attach = format!("{path}/attach");
    let no_picture =
        officer.upload(&attach, "file", "a.html", b"<script>alert(1)</script>").unwrap();
    assert_eq!(no_picture.status, 400, "{}", no_picture.body);
    check(&attach, &no_picture.body);
    let too_large = officer.upload(&attach, "file", "a.png", &vec![0; 9 * 1024 * 1024]).unwrap();
    assert_eq!(too_large.status, 413);
    let attached = officer.upload(&attach, "file", "../scene <1>.png", &PICTURE).unwrap();
    assert_eq!(attached.status, 303, "{}", attached.body);
    let page = officer.get(&path).unwrap();
    check(&path, &page.body);
    assert!(page.body.contains("scene &#60;1&#62;.png"), "{}", page.body);
    let file = between(&page.body, &format!("{path}/file/"), "\"").to_owned();
    let taken = officer.get(&format!("{path}/file/{file}")).unwrap();
    assert_eq!(taken.status, 200);
    assert_eq!(taken.header("content-type"), "application/octet-stream");
    assert!(
        taken.header("content-disposition").starts_with("attachment; filename=\"scene__1_.png\"")
    );
    assert!(taken.header("content-security-policy").contains("sandbox"));
    // Who may not see the record sees no file of it, and attaches none.
    let mut low = stage.operator("Low", "watch-officer", "AMBER").unwrap();
    low.get("/board").unwrap();
    assert_eq!(low.get(&format!("{path}/file/{file}")).unwrap().status, 404);
    assert_eq!(low.upload(&attach, "file", "b.png", &PICTURE).unwrap().status, 404);
}

#[test]
fn a_lost_device_is_ended_and_what_it_wrote_later_is_read_and_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::of_two(folder.path()).unwrap();
    let seen = stage.of_the_other().unwrap();
    let hidden = [
        "--kind",
        "incident",
        "--label",
        "TLP:RED",
        "--compartment",
        "both",
        "--set",
        "name=hidden one",
    ];
    stage.record(&hidden).unwrap();
    let mut officer = stage.operator("Amina", "watch-officer", "AMBER").unwrap();
    let devices = officer.get("/devices").unwrap();
    check("/devices", &devices.body);
    let other = stage.other.as_ref().unwrap();
    let id = text(&done(other.command(&["id"]).unwrap())["device"]).to_owned();
    let path = format!("/device/{id}");
    check(&path, &officer.get(&path).unwrap().body);
    let preview = [("act", "preview"), ("since", "2020-01-01T00:00:00Z"), ("by", "arrival")];
    let preview = officer.post(&path, &preview).unwrap();
    assert_eq!(preview.status, 200, "{}", preview.body);
    check(&path, &preview.body);
    assert!(preview.body.contains("nothing was done"), "{}", preview.body);
    assert!(
        preview.body.contains(&seen) && !preview.body.contains("hidden one"),
        "{}",
        preview.body
    );
    let unsure =
        officer.post(&path, &[("act", "lost"), ("since", "2020-01-01T00:00:00Z")]).unwrap();
    assert_eq!(unsure.status, 400);
    // A desk of another agency is not ours to end: the mesh says so, and what was typed stays.
    let sure = [("act", "lost"), ("since", "2020-01-01T00:00:00Z"), ("sure", "yes")];
    let refused = officer.post(&path, &sure).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.body);
    check(&path, &refused.body);
    assert!(refused.body.contains("value=\"2020-01-01T00:00:00Z\""));
    let inbox = officer.get("/inbox").unwrap();
    check("/inbox", &inbox.body);
    assert_eq!(officer.get("/inbox/0000").unwrap().status, 404);
}

#[test]
fn a_bundle_goes_out_and_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::of_two(folder.path()).unwrap();
    stage.of_the_other().unwrap();
    let mut officer = stage.operator("Amina", "watch-officer", "RED").unwrap();
    let page = officer.get("/bundles").unwrap();
    check("/bundles", &page.body);
    let none = officer.post("/bundles/export", &[("since", "start")]).unwrap();
    assert_eq!(none.status, 400, "{}", none.body);
    check("/bundles/export", &none.body);
    let other = between(&page.body, "name=\"to\" value=\"", "\"").to_owned();
    let bundle = officer.post("/bundles/export", &[("to", &*other), ("since", "start")]).unwrap();
    assert_eq!(bundle.header("content-type"), "application/octet-stream", "{}", bundle.body);
    assert!(bundle.header("content-disposition").contains(".bundle"));
    let nonsense = officer.upload("/bundles/import", "bundle", "a.bundle", b"no bundle").unwrap();
    assert!(nonsense.status >= 400 && nonsense.status < 500, "{}", nonsense.body);
    check("/bundles/import", &nonsense.body);
}
