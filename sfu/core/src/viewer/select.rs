//! Which layer of the picture a viewer is shown.

use crate::command::{LayerChoice, LayerInfo};

/// Returns the layer to be shown of those there are, the best first; `None` while none sends.
pub(super) fn select(choice: LayerChoice, ranked: &[LayerInfo]) -> Option<u8> {
    let wanted = match choice {
        LayerChoice::Auto => 0,
        LayerChoice::Layer(index) | LayerChoice::Reduced(index, _) => ranked
            .iter()
            .position(|layer| layer.index == index)
            .unwrap_or(0),
    };
    let best = |layers: &[LayerInfo]| {
        let best = layers.iter().find(|layer| layer.active);
        best.map(|layer| layer.index)
    };
    ranked.get(wanted..).and_then(best).or_else(|| best(ranked))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers as OBS has them, the best first; those named are active.
    fn layers(active: &[u8]) -> Vec<LayerInfo> {
        let layer = |index: u8| LayerInfo {
            index,
            stream: index,
            spatial: 0,
            active: active.contains(&index),
            width: 1280 >> index,
            height: 720 >> index,
            bitrate_bps: 0,
        };
        (0..3).map(layer).collect()
    }

    #[test]
    fn without_a_choice_the_best_that_sends_is_shown() {
        assert_eq!(select(LayerChoice::Auto, &layers(&[0, 1, 2])), Some(0));
        assert_eq!(select(LayerChoice::Auto, &layers(&[1, 2])), Some(1));
        assert_eq!(select(LayerChoice::Auto, &layers(&[])), None);
        assert_eq!(select(LayerChoice::Auto, &[]), None);
    }

    #[test]
    fn a_choice_falls_back_to_the_best_below_it_and_then_to_the_best_there_is() {
        let one = LayerChoice::Layer(1);
        assert_eq!(select(one, &layers(&[0, 1, 2])), Some(1));
        assert_eq!(select(one, &layers(&[0, 2])), Some(2));
        assert_eq!(select(one, &layers(&[0])), Some(0));
        assert_eq!(select(LayerChoice::Layer(7), &layers(&[1, 2])), Some(1));
    }
}
