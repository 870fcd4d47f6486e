//! Field packs over the control socket: what a unit takes along for time off the grid.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bundle::{BundleMade, Post, Since};
use super::unread::Unread;

/// Arguments of [`Request::FieldPack`](super::Request::FieldPack).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FieldPack {
    /// For which device.
    pub device: String,
    /// Where it will be: `13.1,14.5,50km`, or west, south, east and north in degrees.
    pub area: String,
    /// For how long, in seconds from now.
    pub lasts_s: u64,
    /// From where on.
    pub since: Since,
    /// How large it may be.
    pub bytes_max: u64,
    /// Absolute path of the file to fill, which the client has created.
    pub part: PathBuf,
    /// Where it is put when it is whole.
    pub out: PathBuf,
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}

shapes! {
    /// What a field pack says of the time that it is for.
    FieldOrder {
        /// The device that it is for.
        device: String,
        /// Where, as in [`FieldPack::area`].
        area: String,
        /// From when.
        from: String,
        /// Until when.
        until: String,
    }

    /// `field show`: the last field pack that was taken here.
    FieldShown {
        /// What it says; null if there was none.
        order: Option<FieldOrder>,
        /// Who made it.
        maker: Option<Post>,
        /// Whether its time is now: the portal's map begins with its area then.
        in_force: bool,
        /// What ends before it does, for this device.
        ends: Vec<Ends>,
    }

    /// What a bundle encloses beside entries.
    Enclosed {
        /// What it says of the time that it is for.
        order: FieldOrder,
        /// Why it is not taken as this device's order; null if it is.
        passed_over: Option<String>,
        /// Features of the map that is in it; null if there is none, or if it is damaged.
        features: Option<u64>,
    }

    /// Something that ends before the device is back.
    Ends {
        /// Where: the name of a compartment, or of the coalition.
        compartment: String,
        /// What: "write", "keys" or "read".
        what: String,
        /// When; null if it is so already.
        when: Option<String>,
        /// What it means.
        meaning: String,
        /// What to do.
        hint: String,
    }

    /// `field pack`.
    FieldPacked {
        /// The bundle that it is.
        bundle: BundleMade,
        /// What it says of the time that it is for.
        order: FieldOrder,
        /// Records in the area.
        in_area: u64,
        /// Flashes and alerts elsewhere.
        urgent: u64,
        /// Records that are linked with those.
        linked: u64,
        /// Features of the map; null if it had no room.
        features: Option<u64>,
        /// Features that there are beside, and are not on the map.
        features_left: u64,
        /// Compartments for which it got keys that it lacked, or that would have been replaced meanwhile, by name.
        resealed: Vec<String>,
        /// What ends before the device is back.
        ends: Vec<Ends>,
        /// What could not be read here, and so is not known to be wanted.
        unread: Unread,
    }
}
