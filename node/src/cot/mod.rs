//! Cursor on Target, as TAK speaks it: where records are, as events that go out ([`event`]), and the line that events
//! come and go by ([`line`]). What events that come become is [`crate::exchange::cot`]'s business.

mod event;
mod line;

pub(crate) use event::{Picture, came_from_a_map, event};
pub(crate) use line::{Heard, Line, Papers, listen, send};
