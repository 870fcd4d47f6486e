//! Forms with files (RFC 7578), read whole and within a bound. A file is bytes: what it claims to be is not
//! believed.

use axum::http::StatusCode;

use super::form::Form;

/// Most parts of a form.
const PARTS_MAX: usize = 32;
/// Most bytes of what stands before a part, and of a part that is no file.
const HEAD_BYTES_MAX: usize = 4 * 1024;
const FIELD_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of a boundary (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// A file that came with a form.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Upload {
    /// The field's name.
    pub(super) field: String,
    /// What its sender calls it, without folders.
    pub(super) name: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

/// The boundary of a content type, if it is of such a form.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = parameters.split(';').find_map(|one| one.trim().strip_prefix("boundary="))?;
    let boundary = named.trim().trim_matches('"');
    let sound = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && boundary.is_ascii();
    sound.then_some(boundary)
}

/// The fields and files of a form.
pub(super) fn parse(boundary: &str, body: &[u8]) -> Result<(Form, Vec<Upload>), StatusCode> {
    let bad = StatusCode::BAD_REQUEST;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first one may have nothing before it.
    let first = delimiter.get(2..).ok_or(bad)?;
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => after(body, &delimiter).ok_or(bad)?,
    };
    let (mut fields, mut files) = (Vec::new(), Vec::new());
    for _ in 0..PARTS_MAX {
        if rest.starts_with(b"--") {
            return Ok((Form::of(fields), files));
        }
        let part = rest.strip_prefix(b"\r\n").ok_or(bad)?;
        let end = find(part, &delimiter).ok_or(bad)?;
        let (part, behind) = part.split_at(end);
        rest = behind.get(delimiter.len()..).unwrap_or_default();
        let head = find(part, b"\r\n\r\n").filter(|at| *at <= HEAD_BYTES_MAX).ok_or(bad)?;
        let (head, content) = (part.get(..head), part.get(head + 4..));
        let head = head.and_then(|head| std::str::from_utf8(head).ok()).ok_or(bad)?;
        let content = content.ok_or(bad)?;
        let field = parameter(head, "name").ok_or(bad)?;
        match parameter(head, "filename") {
            Some(name) => {
                let name = name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
                files.push(Upload { field, name, bytes: content.to_vec() });
            }
            None if content.len() <= FIELD_BYTES_MAX => {
                let text = std::str::from_utf8(content).map_err(|_| bad)?;
                fields.push((field, text.replace("\r\n", "\n")));
            }
            None => return Err(StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
    Err(bad)
}

/// A parameter of the content disposition, as browsers write it.
fn parameter(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| {
        line.get(..20).is_some_and(|begin| begin.eq_ignore_ascii_case("content-disposition:"))
    })?;
    let begin = format!("; {name}=\"");
    let (_, rest) = line.split_once(&begin)?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn after<'a>(bytes: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    bytes.get(find(bytes, wanted)? + wanted.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut body = String::new();
        for (head, content) in parts {
            body += &format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
        }
        (body + "--x--\r\n").into_bytes()
    }

    #[test]
    fn fields_and_files_are_read() {
        let body = form(&[
            ("name=\"csrf\"", "ab"),
            (
                "name=\"file\"; filename=\"C:\\a\\b.jpg\"\r\nContent-Type: image/jpeg",
                "1\r\n--y\r\n2",
            ),
        ]);
        let (fields, files) = parse("x", &body).unwrap();
        assert_eq!(fields.secret("csrf"), "ab");
        let file =
            Upload { field: "file".into(), name: "b.jpg".into(), bytes: b"1\r\n--y\r\n2".to_vec() };
        assert_eq!(files, [file]);
        assert_eq!(boundary("multipart/form-data; boundary=x"), Some("x"));
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; boundary=\"x y\""), Some("x y"));
        for other in
            ["multipart/mixed; boundary=x", "multipart/form-data", "multipart/form-data; boundary="]
        {
            assert_eq!(boundary(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let whole = form(&[("name=\"a\"", "b")]);
        for cut in 0..whole.len() - 4 {
            assert!(parse("x", &whole[..cut]).is_err(), "{cut}");
        }
        assert!(parse("x", &form(&[("nothing", "b")])).is_err());
        assert!(parse("x", &form(&vec![("name=\"a\"", "b"); PARTS_MAX + 1])).is_err());
        let long = "b".repeat(FIELD_BYTES_MAX + 1);
        let refused = parse("x", &form(&[("name=\"a\"", &long)])).unwrap_err();
        assert_eq!(refused, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
