//! Data files in every format, well-formed and not.

mod support;

use std::io::Write;

use model::data::{DataError, DataFile, InputSpec};
use prost::Message;
use zip::write::SimpleFileOptions;

fn spec(name: &str, shape: &[usize]) -> InputSpec {
    InputSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
    }
}

fn parse(bytes: &[u8]) -> Result<DataFile, DataError> {
    DataFile::parse("samples", bytes)
}

fn npy(descr: &str, shape: &str, fortran: bool, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn npz(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer
            .start_file(format!("{name}.npy"), SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn json_in_its_variants() {
    let x = [spec("x", &[1, 4])];
    let expected = vec![vec![vec![1.0, 2.5, -3.0, 4e-1]]];
    for text in [
        r#"{"input_data": [[1, 2.5, -3, 0.4]]}"#,
        r#" {"other": 1, "input_data": [[[1, 2.5], [-3, 0.4]]]}"#,
        r#"[[1, 2.5, -3, 0.4]]"#,
        r#"[1, 2.5, -3, 0.4]"#,
    ] {
        assert_eq!(
            parse(text.as_bytes()).unwrap().samples(&x).unwrap(),
            expected,
            "{text}"
        );
    }
    let rows = parse(br#"{"input_data": [[1, 2], [3, 4], [5, 6]]}"#).unwrap();
    assert_eq!(rows.samples(&[spec("x", &[1, 2])]).unwrap().len(), 3);
    let two = [spec("a", &[1, 2]), spec("b", &[1, 1])];
    let sample = parse(br#"{"input_data": [[1, 2], [3]]}"#).unwrap();
    assert_eq!(
        sample.sample(&two).unwrap(),
        vec![vec![1.0, 2.0], vec![3.0]]
    );
}

#[test]
fn bad_json_is_named() {
    for text in [
        r#"{"input": [[1]]}"#,
        r#"{"input_data": 3}"#,
        r#"{"input_data": [[1, [2]]]}"#,
        r#"{"input_data": [["a"]]}"#,
        r#"{"input_data": [[1e999]]}"#,
        r#"{"input_data": [[1"#,
    ] {
        assert!(
            matches!(parse(text.as_bytes()), Err(DataError::Format { .. })),
            "{text}"
        );
    }
    let deep = "[".repeat(100_000);
    assert!(parse(deep.as_bytes()).is_err());
}

#[test]
fn numpy_types_and_orders() {
    let cases: [(&str, Vec<u8>); 8] = [
        ("<f4", [1f32, 2.0].map(f32::to_le_bytes).concat()),
        (">f4", [1f32, 2.0].map(f32::to_be_bytes).concat()),
        ("<f8", [1f64, 2.0].map(f64::to_le_bytes).concat()),
        ("<f2", vec![0x00, 0x3c, 0x00, 0x40]),
        ("<i8", [1i64, 2].map(i64::to_le_bytes).concat()),
        (">i2", [1i16, 2].map(i16::to_be_bytes).concat()),
        ("|u1", vec![1, 2]),
        ("|b1", vec![1, 2]),
    ];
    for (descr, data) in cases {
        let file = parse(&npy(descr, "(1, 2)", false, &data)).unwrap();
        assert_eq!(file.arrays[0].values, [1.0, 2.0], "{descr}");
        assert_eq!(file.arrays[0].shape, [1, 2]);
    }
    let file = parse(&npy("|u1", "(2, 3)", true, &[1, 4, 2, 5, 3, 6])).unwrap();
    assert_eq!(file.arrays[0].values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn damaged_numpy_files_are_errors() {
    let good = npy("|u1", "(2,)", false, &[1, 2]);
    for cut in 0..good.len() {
        assert!(parse(&good[..cut]).is_err(), "{cut}");
    }
    for (descr, shape) in [
        ("|u1", "(3,)"),
        ("<c8", "(2,)"),
        ("|O", "(2,)"),
        ("", "(2,)"),
        ("\u{e9}4", "(2,)"),
        ("<f4", "(2,)"),
        ("|u1", "(-2,)"),
        ("|u1", "(99999999999, 99999999999)"),
    ] {
        assert!(
            parse(&npy(descr, shape, false, &[1, 2])).is_err(),
            "{descr} {shape}"
        );
    }
}

#[test]
fn archives_are_matched_by_name() {
    let x = npy("|u1", "(3, 1, 2)", false, &[1, 2, 3, 4, 5, 6]);
    let y = npy(
        "<i8",
        "(3,)",
        false,
        &[7i64, 8, 9].map(i64::to_le_bytes).concat(),
    );
    let names = npy("<U1", "(1,)", false, &[65, 0, 0, 0]);
    let spec = [spec("pixels", &[1, 2])];
    for name in ["pixels", "in_pixels", "x"] {
        let entries = [
            (name, x.clone()),
            ("y", y.clone()),
            ("names", names.clone()),
        ];
        let file = parse(&npz(&entries)).unwrap();
        let samples = file.samples(&spec).unwrap();
        assert_eq!(
            samples,
            vec![
                vec![vec![1.0, 2.0]],
                vec![vec![3.0, 4.0]],
                vec![vec![5.0, 6.0]]
            ]
        );
        assert_eq!(file.labels(), Some(vec![7, 8, 9]));
        assert!(matches!(
            file.sample(&spec),
            Err(DataError::NotOne { got: 3, .. })
        ));
    }
    let file = parse(&npz(&[("a", x.clone()), ("b", x.clone())])).unwrap();
    assert!(matches!(
        file.samples(&spec),
        Err(DataError::Missing { .. })
    ));
    let file = parse(&npz(&[("x", y)])).unwrap();
    assert!(matches!(file.samples(&spec), Err(DataError::Array { .. })));
    let archive = npz(&[("x", x)]);
    for cut in 0..archive.len() {
        assert!(parse(&archive[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn onnx_tensors_are_data_too() {
    let tensor = support::onnx::floats("x", &[1, 3], &[1.0, 2.0, 3.0]);
    let file = parse(&tensor.encode_to_vec()).unwrap();
    assert_eq!(
        file.sample(&[spec("anything", &[1, 3])]).unwrap(),
        [[1.0, 2.0, 3.0]]
    );
    assert!(parse(b"").is_err());
    assert!(parse(b"\x00\x01garbage").is_err());
    let error = DataFile::read("/no/such/file").unwrap_err();
    assert!(matches!(error, DataError::Io { .. }));
}
