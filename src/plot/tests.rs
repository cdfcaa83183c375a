use super::Chart;

fn kinds() -> [Chart; 4] {
    [
        Chart::lines("speed").series("CPU", [(64usize, 2e-5), (4096, 1.9)]).series("GPU", [(64, 3e-4), (4096, 0.055)]),
        Chart::bars("seconds", ["small", "large"]).series("CPU", [1.5, 30.0]).series("GPU", [0.5, 2.0]),
        Chart::histogram("kernel").series("", (0..500).map(|i| (i as f32 * 0.7).sin())),
        Chart::heatmap("confusion", ["cat", "dog"]).series("cat", [50, 3]).series("dog", [4, 44]),
    ]
}

#[test]
fn every_kind_is_drawn_in_every_way() {
    for chart in kinds() {
        let svg = chart.to_svg();
        assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(chart.to_png().unwrap()[..4], *b"\x89PNG");
        for columns in [40, 80, 200] {
            let text = chart.to_text(columns, 12);
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            assert!(!text.contains('\x1b'));
        }
        assert!(format!("{chart:#}").len() >= chart.to_string().len());
    }
}
