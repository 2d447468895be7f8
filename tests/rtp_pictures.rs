//! Pictures that come in another order than they are presented: decoding times rise evenly, and
//! presentation times are those that were sent.

#[path = "rtp_pictures/film.rs"]
mod film;
mod rtp_support;

use film::{GROUP, SPACING, play};
use rtp_support::{Out, World};

/// When the pictures that came out are presented, less what the first one sent is.
fn presented(world: &World) -> Vec<i64> {
    let presented = |out: &&Out| out.time.as_micros() + i64::from(out.composition);
    let pictures = world.video();
    let first = presented(&pictures[0]);
    pictures.iter().map(|out| presented(out) - first).collect()
}

/// Decoding times rise, and by how much.
fn steps(world: &World) -> Vec<i64> {
    let pictures = world.video();
    let steps = pictures
        .windows(2)
        .map(|pair| pair[1].time.micros_since(pair[0].time));
    let steps: Vec<i64> = steps.collect();
    assert!(steps.iter().all(|step| *step > 0), "{steps:?}");
    steps
}

#[test]
fn presentation_is_exact_from_the_first_picture_where_parameter_sets_tell() {
    let (world, displayed) = play(3, true, |_| false);
    let presented = presented(&world);
    assert_eq!(presented.len(), displayed.len());
    for (number, (presented, display)) in presented.iter().zip(&displayed).enumerate() {
        let off = presented - *display as i64 * SPACING;
        // Slewed to the earliest arrivals, and no more.
        assert!(
            off.abs() <= 40 * 5_000 / 30 + number as i64 * 200,
            "{number}: {off}"
        );
    }
    let steps = steps(&world);
    // Before the first picture there is no time for those before it.
    for (number, step) in steps.iter().enumerate().skip(3) {
        assert!((step - SPACING).abs() <= 1_500, "{number}: {steps:?}");
    }
    assert_eq!(world.session.clock().counters().clamped, 0);
    assert_eq!(world.session.clock().counters().jumps, 0);
}

#[test]
fn reordering_that_nobody_told_of_is_noticed_and_stands_still_for_no_more_than_its_depth() {
    let (world, displayed) = play(3, false, |_| false);
    let presented = presented(&world);
    let steps = steps(&world);
    // Decoding stands for two pictures, once.
    assert!(
        steps
            .iter()
            .skip(9)
            .all(|step| (step - SPACING).abs() <= 1_500),
        "{steps:?}"
    );
    assert!(
        steps.iter().all(|step| *step <= 4 * SPACING + 1_000),
        "{steps:?}"
    );
    assert!(world.session.clock().counters().clamped <= 4);
    // From the second group of four on, pictures are where they belong among themselves.
    let reference = presented[8] - displayed[8] as i64 * SPACING;
    for (number, (presented, display)) in presented.iter().zip(&displayed).enumerate().skip(8) {
        let off = presented - *display as i64 * SPACING - reference;
        assert!(off.abs() <= (number as i64 - 7) * 250, "{number}: {off}");
    }
}

#[test]
fn after_a_loss_the_next_group_is_in_its_place() {
    // A picture of the first group is lost, so everything up to the second one is.
    let (world, displayed) = play(2, true, |number| number == 9);
    let presented = presented(&world);
    assert_eq!(presented.len(), displayed.len() - (GROUP - 9));
    let came: Vec<usize> = displayed[..9]
        .iter()
        .chain(&displayed[GROUP..])
        .copied()
        .collect();
    for (presented, display) in presented.iter().zip(came) {
        let off = presented - display as i64 * SPACING;
        assert!(off.abs() <= 20_500, "{display}: {off}");
    }
    let steps = steps(&world);
    assert!(
        steps[12..]
            .iter()
            .all(|step| (step - SPACING).abs() <= 1_500),
        "{steps:?}"
    );
}

#[test]
fn pictures_in_order_are_decoded_when_presented_once_it_is_known_that_they_are() {
    let mut world = World::new(rtp_support::Network::default(), 1);
    let mut sender = rtp_support::VideoSender::new(rtp_support::Form::Fragments, 1);
    // Its parameter sets allow two pictures to be reordered.
    rtp_support::film(&mut world, &mut sender, 700, 100);
    let pictures = world.video();
    assert!(
        pictures[50..300]
            .iter()
            .all(|out| (60_000..75_000).contains(&out.composition))
    );
    assert!(pictures[401..].iter().all(|out| out.composition == 0));
    for pair in pictures.windows(2) {
        let step = pair[1].time.micros_since(pair[0].time);
        assert!(step > 0 && step <= 33_400 * 3, "{step}");
    }
}
