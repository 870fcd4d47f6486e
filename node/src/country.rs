//! Countries: the codes by which agencies name theirs.

use crate::failure::Failure;

/// Reads a country's code, in whatever case. Codes that the standard leaves to its users are taken, for
/// units of several nations and for exercises.
pub(crate) fn read(text: &str) -> Result<String, Failure> {
    let code = text.to_ascii_uppercase();
    let own = matches!(
        code.as_bytes(),
        [b'A', b'A'] | [b'Q', b'M'..=b'Z'] | [b'X', b'A'..=b'Z'] | [b'Z', b'Z']
    );
    if own || CODES.binary_search(&code.as_str()).is_ok() {
        return Ok(code);
    }
    Err(Failure::usage(format!("{text:?} is no country's code"))
        .hint(
            "two letters of ISO 3166-1 alpha-2: NE is Niger, TD is Chad; XA to XZ are for uses of one's own",
        ))
}

/// The codes that ISO 3166-1 assigns (alpha-2; as in `iso3166.tab` of the IANA time zone database, which
/// is in the public domain), in their order.
#[rustfmt::skip]
const CODES: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ",
    "BA", "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS",
    "BT", "BV", "BW", "BY", "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN",
    "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ", "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE",
    "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF",
    "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM",
    "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM",
    "JO", "JP", "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC",
    "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK",
    "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA",
    "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ", "OM", "PA", "PE", "PF", "PG",
    "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS", "RU", "RW",
    "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS",
    "ST", "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO",
    "TR", "TT", "TV", "TW", "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI",
    "VN", "VU", "WF", "WS", "YE", "YT", "ZA", "ZM", "ZW",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_in_order_and_nothing_else_is_one() {
        assert!(CODES.is_sorted());
        assert_eq!(read("ne").unwrap(), "NE");
        for own in ["AA", "QM", "QZ", "XA", "xz", "ZZ"] {
            assert_eq!(read(own).unwrap(), own.to_ascii_uppercase());
        }
        for bad in ["", "N", "AB", "QL", "YA", "ZY", "EU", "NER", "N3", "UK", "n\u{e9}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
