use super::*;
use proptest::prelude::*;

/// Bodies and the same objects in JSON, as `runtime/serializer/protobuf` and `encoding/json` of Go write them.
const VECTORS: [(&str, &str); 4] = [
    (
        "6b3873000a0f0a0862617463682f763112034a6f6212dc010a210a016112001a0022002a003200380042080880f2d6ca0610005a060a017812017912ac0108001003329c010a100a0012001a0022002a003200380042001287010a110a0176120c9a01090a040a02636d18a40312510a01631201691a01611a01622a00420f0a0d0a0363707512060a043530306d52200a1412120a00120a080110001a04687474701a002200100018002000280030006a007200800100880100900100a201001a054e65766572320042004a0052005800600068008201008a01009a0100c201004a07496e64657865641a082000280030003a001a002200",
        r#"{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":"a","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"x":"y"}},"spec":{"parallelism":0,"completions":3,"template":{"metadata":{},"spec":{"volumes":[{"name":"v","configMap":{"name":"cm","defaultMode":420}}],"containers":[{"name":"c","image":"i","command":["a","b"],"resources":{"limits":{"cpu":"500m"}},"livenessProbe":{"httpGet":{"port":"http"}}}],"restartPolicy":"Never"}},"completionMode":"Indexed"},"status":{}}"#,
    ),
    (
        "6b3873000a0c0a027631120653656372657412280a110a017312001a0022002a00320038004200120b0a016b120676616c7565211a064f70617175651a002200",
        r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":{"k":"dmFsdWUh"},"type":"Opaque"}"#,
    ),
    (
        "6b3873000a0d0a02763112075365727669636512400a110a017312001a0022002a0032003800420012270a110a00120018502207080010903f1a0028001a044e6f6e6522003a00420052005a00600068001a020a001a002200",
        r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"s"},"spec":{"ports":[{"port":80,"targetPort":8080}],"clusterIP":"None"},"status":{"loadBalancer":{}}}"#,
    ),
    (
        "6b3873000a150a09706f6c6963792f763112084576696374696f6e12240a120a017012001a016e22002a00320038004200120e0800220a4261636b67726f756e641a002200",
        r#"{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"p","namespace":"n"},"deleteOptions":{"gracePeriodSeconds":0,"propagationPolicy":"Background"}}"#,
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn bodies_of_go_clients() {
    for (body, object) in VECTORS {
        let object: Value = serde_json::from_str(object).unwrap();
        assert_eq!(decode(&bytes(body)).unwrap(), object);
    }
}

#[test]
fn what_is_no_body() {
    assert_eq!(decode(b"{}").unwrap_err().code, 400);
    // A kind without binary form.
    let unknown = [MAGIC, &[10, 6, 10, 1, b'v', 18, 1, b'X']].concat();
    assert_eq!(decode(&unknown).unwrap_err().code, 400);
    // A length beyond the end.
    assert_eq!(decode(&[MAGIC, &[10, 100]].concat()).unwrap_err().code, 400);
}

#[test]
fn times_and_base64() {
    let wire = |seconds: &[u8]| [&[8], seconds].concat();
    assert_eq!(time(&wire(&[0]), false).unwrap(), "1970-01-01T00:00:00Z");
    // 2024-02-29T12:34:56Z
    assert_eq!(time(&wire(&[0xf0, 0xf3, 0x81, 0xaf, 0x6]), true).unwrap(), "2024-02-29T12:34:56.000000Z");
    for (plain, coded) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj")] {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
}

proptest! {
    /// Broken bodies are refused or read, never a panic.
    #[test]
    fn broken_bodies(which in 0..4_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = bytes(VECTORS[which].0);
        let at = at.index(body.len());
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        let _ = decode(&body);
    }
}
