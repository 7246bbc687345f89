//! The layers of a room's video by name, and who of those who watch is shown which one.

use std::sync::Arc;

use klieg_sfu::{Command, LayerInfo, Limit, PeerId, PlayoutDelay};
use tracing::debug;

use crate::analytics::Lines;
use crate::error::{ApiError, Code};
use crate::id::SocketId;
use crate::session::Session;
use crate::ws::protocol::{LayerView, Layers, LayersReason, WantedLayer, codec_name, message};

use super::member::Viewing;
use super::task::Room;

/// The layers of a publisher's video, in the order of its offer; none while there is no video. Copies
/// share what they hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VideoLayers(Arc<[VideoLayer]>);

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VideoLayer {
    /// Its RID, [`ONLY`], or the spatial layer of the only stream as `s0`, `s1` and so on.
    pub(crate) name: Arc<str>,
    /// What came of it; `None` before its first packet.
    pub(crate) info: Option<LayerInfo>,
}

/// What a report about layers changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// How much comes.
    Rates,
    /// Which layers come, or how large they are.
    Layers,
}

impl VideoLayers {
    /// Names what a publisher has offered.
    pub(crate) fn of(session: &Session) -> Self {
        let name = |rid: &str| VideoLayer {
            // By that name nobody could ask for it.
            name: if rid == "auto" { "auto_" } else { rid }.into(),
            info: None,
        };
        match session.rids() {
            None => Self::default(),
            Some([]) => Self([name(ONLY)].into()),
            Some(rids) => Self(rids.iter().map(|rid| name(rid)).collect()),
        }
    }

    /// Returns those of which something came, in order.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (&str, LayerInfo)> {
        let seen = |layer: &'_ VideoLayer| layer.info;
        self.0
            .iter()
            .filter_map(move |layer| Some((&*layer.name, seen(layer)?)))
    }

    /// Says no to a layer that the publisher does not have. While there is no publisher, any may be asked for.
    ///
    /// # Errors
    /// `layer_unknown`.
    pub(crate) fn check(&self, choice: &WantedLayer) -> Result<(), ApiError> {
        let is_unknown = |name| !self.0.is_empty() && self.index_of(name).is_none();
        if !choice.name().is_some_and(is_unknown) {
            return Ok(());
        }
        let names: Vec<_> = self.0.iter().map(|layer| &*layer.name).collect();
        let text = format!("The layers are {}.", names.join(", "));
        Err(ApiError::new(Code::LayerUnknown, text))
    }

    /// Says the same in the words of the forwarding unit; a layer that is not there is left to it.
    fn choose(&self, choice: &WantedLayer) -> klieg_sfu::LayerChoice {
        use klieg_sfu::LayerChoice::{Auto, Layer, Reduced};
        let index = choice.name().and_then(|name| self.index_of(name));
        match (choice, index) {
            (WantedLayer::Auto, _) | (_, None) => Auto,
            (WantedLayer::Named(_), Some(index)) => Layer(index),
            (WantedLayer::Reduced(_, temporal), Some(index)) => Reduced(index, *temporal),
        }
    }

    fn index_of(&self, name: &str) -> Option<u8> {
        let index = self.0.iter().position(|layer| &*layer.name == name)?;
        u8::try_from(index).ok()
    }

    fn get(&self, index: u8) -> Option<&VideoLayer> {
        self.0.get(usize::from(index))
    }

    /// Takes note of a report of the forwarding unit.
    pub(super) fn update(&mut self, report: &[LayerInfo]) -> News {
        let before = self.clone();
        let update = |name: Arc<str>, index: u8| {
            let told = report.iter().find(|info| info.index == index);
            let known = before.get(index).and_then(|layer| layer.info);
            VideoLayer {
                name,
                info: told.copied().or(known),
            }
        };
        let names = before.names(report).into_iter().zip(0..);
        self.0 = names.map(|(name, index)| update(name, index)).collect();
        if *self == before {
            return News::None;
        }
        let shape = |layers: &Self| -> Vec<_> {
            let seen = layers.seen();
            seen.map(|(name, info)| (name.to_owned(), info.active, info.width, info.height))
                .collect()
        };
        if shape(self) == shape(&before) {
            News::Rates
        } else {
            News::Layers
        }
    }

    /// Returns the names by index: those of the offer, or, where the only stream has spatial layers within, theirs.
    fn names(&self, report: &[LayerInfo]) -> Vec<Arc<str>> {
        let within = report.iter().filter(|info| info.spatial > 0);
        let Some(highest) = within.map(|info| usize::from(info.spatial)).max() else {
            return self.0.iter().map(|layer| Arc::clone(&layer.name)).collect();
        };
        let layers = self.0.len().max(highest + 1);
        let names = (0..layers).map(|spatial| format!("s{spatial}").into());
        names.collect()
    }

    fn views(&self) -> impl Iterator<Item = LayerView> {
        self.seen().map(|(name, info)| LayerView {
            layer: name.to_owned(),
            active: info.active,
            width: info.width,
            height: info.height,
            bitrate: if info.active { info.bitrate_bps } else { 0 },
        })
    }

    /// Finds how large the picture of a layer is.
    pub(super) fn lines(&self, index: u8) -> Lines {
        let info = self.get(index).and_then(|layer| layer.info);
        info.map_or(Lines::Audio, |info| Lines::of(info.width, info.height))
    }

    /// Says what a viewer gets of it.
    fn view(&self, viewing: &Viewing) -> Layers {
        let mismatch = viewing.session.mismatch();
        let is_paused = viewing.limit == Limit::Paused;
        let shown = viewing.shown.filter(|_| mismatch.is_none() && !is_paused);
        let selected = shown.and_then(|index| self.get(index));
        let selected = selected.map(|layer| layer.name.as_ref().to_owned());
        let reason = match (&viewing.wanted, &selected) {
            (_, _) if mismatch.is_some() => LayersReason::CodecMismatch,
            (_, _) if is_paused => LayersReason::Bandwidth,
            (WantedLayer::Auto, _) if viewing.limit == Limit::Lower => LayersReason::Bandwidth,
            (WantedLayer::Auto, _) => LayersReason::Auto,
            (wanted, _) if !wanted.name().is_some_and(|name| self.comes(name)) => {
                LayersReason::Unavailable
            }
            (WantedLayer::Named(_) | WantedLayer::Reduced(..), _) => match viewing.limit {
                Limit::Lower => LayersReason::Bandwidth,
                Limit::None | Limit::Paused => LayersReason::Manual,
            },
        };
        Layers {
            available: self.views().collect(),
            selected,
            reason,
            codec: mismatch.map(|sent| codec_name(sent.codec)),
        }
    }

    fn comes(&self, name: &str) -> bool {
        let mut seen = self.seen();
        seen.any(|(known, info)| known == name && info.active)
    }
}

impl Room {
    /// Shows a viewer another layer.
    pub(super) fn select_layer(&mut self, socket: SocketId, wanted: WantedLayer) {
        if let Some(viewing) = self.viewing(socket) {
            viewing.wanted = wanted;
            self.apply_layer(socket);
            self.tell_layers(socket);
        }
    }

    /// Takes note of what a publisher's layers are.
    pub(super) fn publisher_layers(&mut self, peer: PeerId, report: &[LayerInfo]) {
        match self.stage.handle_layers(peer, report) {
            News::None => {}
            News::Rates => {
                self.summarize();
                self.apply_layers();
            }
            News::Layers => {
                self.summarize();
                self.apply_layers();
                self.note_lines_of_all();
                self.tell_layers_to_all();
            }
        }
    }

    /// Takes note of which layer a viewer is shown.
    pub(super) fn viewer_layer(&mut self, peer: PeerId, layer: u8) {
        debug!(peer = peer.0, layer, "layer shown");
        if let Some(socket) = self.viewers.get(&peer).copied()
            && let Some(viewing) = self.viewing(socket)
        {
            viewing.shown = Some(layer);
            // What is shown is played.
            viewing.session.set_mismatch(None);
            self.tell_layers(socket);
            self.note_lines(socket);
        }
    }

    /// Takes note of what a viewer's network lets it see.
    pub(super) fn viewer_limit(&mut self, peer: PeerId, limit: Limit) {
        debug!(peer = peer.0, ?limit, "limited by the network");
        if let Some(socket) = self.viewers.get(&peer).copied()
            && let Some(viewing) = self.viewing(socket)
        {
            viewing.limit = limit;
            self.tell_layers(socket);
            self.note_lines(socket);
        }
    }

    /// Tells the forwarding unit what a viewer wants that has just connected.
    pub(super) fn viewer_connected(&mut self, peer: PeerId) {
        if let Some(socket) = self.viewers.get(&peer).copied()
            && let Some(viewing) = self.viewing(socket)
        {
            // What was said before it was let in has not been heard.
            viewing.chosen = klieg_sfu::LayerChoice::Auto;
            viewing.delay = PlayoutDelay::AUTOMATIC;
            self.apply_layer(socket);
            self.apply_playout_delay(socket);
        }
    }

    /// Tells the forwarding unit what the viewers want of the layers that there are now.
    pub(super) fn apply_layers(&mut self) {
        let sockets: Vec<_> = self.viewers.values().copied().collect();
        for socket in sockets {
            self.apply_layer(socket);
            self.apply_playout_delay(socket);
        }
    }

    fn apply_layer(&mut self, socket: SocketId) {
        let layers = self.stage.layers();
        let Some(viewing) = self.viewing(socket) else {
            return;
        };
        let choice = layers.choose(&viewing.wanted);
        if viewing.chosen == choice {
            return;
        }
        let command = Command::SelectLayer(viewing.session.peer, choice);
        // A shard that is too busy is told with the next report about the layers.
        if self.context.media.carry_out(vec![command]).is_ok()
            && let Some(viewing) = self.viewing(socket)
        {
            viewing.chosen = choice;
        }
    }

    /// Tells a viewer what it gets, while there is something to get.
    pub(super) fn tell_layers(&self, socket: SocketId) {
        let member = self.members.get(&socket);
        if let Some(viewing) = member.and_then(|member| member.viewing.as_ref())
            && self.stage.is_live()
        {
            let layers = self.stage.layers();
            self.send(socket, message("rtc.layers", &layers.view(viewing)));
        }
    }

    pub(super) fn tell_layers_to_all(&self) {
        for socket in self.viewers.values() {
            self.tell_layers(*socket);
        }
    }
}

/// The name of the one layer of a video without simulcast.
const ONLY: &str = "full";

#[cfg(test)]
mod tests {
    use super::*;

    fn info(index: u8, active: bool, bitrate_bps: u32) -> LayerInfo {
        LayerInfo {
            index,
            stream: index,
            spatial: 0,
            active,
            width: 320,
            height: 180,
            bitrate_bps,
        }
    }

    fn layers(names: &[&str]) -> VideoLayers {
        let layers = names.iter().map(|name| VideoLayer {
            name: (*name).into(),
            info: None,
        });
        VideoLayers(layers.collect())
    }

    fn named(name: &str) -> WantedLayer {
        WantedLayer::Named(name.into())
    }

    #[test]
    fn layers_are_available_from_their_first_packet_on() {
        let mut layers = layers(&["q", "h"]);
        assert_eq!(layers.seen().count(), 0);
        assert_eq!(layers.update(&[info(1, true, 9)]), News::Layers);
        assert_eq!(layers.seen().next(), Some(("h", info(1, true, 9))));
        assert_eq!(layers.update(&[info(1, true, 8)]), News::Rates);
        assert_eq!(layers.update(&[info(1, true, 8)]), News::None);
        assert_eq!(layers.update(&[info(1, false, 0)]), News::Layers);
        assert_eq!(layers.update(&[info(7, true, 1)]), News::None);
    }

    #[test]
    fn spatial_layers_of_the_only_stream_are_named_as_they_come() {
        let within = |spatial| LayerInfo {
            stream: 0,
            spatial,
            ..info(spatial, true, 9)
        };
        let mut layers = layers(&[ONLY]);
        layers.update(&[within(0)]);
        assert_eq!(
            layers.seen().map(|(name, _)| name).collect::<Vec<_>>(),
            [ONLY]
        );
        layers.update(&[within(0), within(1)]);
        assert_eq!(
            layers.update(&[within(0), within(1), within(2)]),
            News::Layers
        );
        let names: Vec<_> = layers.seen().map(|(name, _)| name).collect();
        assert_eq!(names, ["s0", "s1", "s2"]);
        assert_eq!(
            layers.choose(&named("s1")),
            klieg_sfu::LayerChoice::Layer(1)
        );
    }

    #[test]
    fn a_choice_is_kept_by_name_whatever_the_publisher_has() {
        let [two, other] = [layers(&["q", "h"]), layers(&["h", "f"])];
        assert_eq!(two.choose(&named("h")), klieg_sfu::LayerChoice::Layer(1));
        assert_eq!(other.choose(&named("h")), klieg_sfu::LayerChoice::Layer(0));
        assert_eq!(other.choose(&named("q")), klieg_sfu::LayerChoice::Auto);
        assert_eq!(two.choose(&WantedLayer::Auto), klieg_sfu::LayerChoice::Auto);
    }

    #[test]
    fn an_unknown_layer_is_refused_where_the_layers_are_known() {
        let layers = layers(&["q", "h"]);
        let error = layers.check(&named("x")).unwrap_err();
        assert_eq!(error.code, Code::LayerUnknown);
        assert!(error.to_string().contains("q, h"));
        assert!(layers.check(&named("h")).is_ok() && layers.check(&WantedLayer::Auto).is_ok());
        assert!(VideoLayers::default().check(&named("x")).is_ok());
    }
}
