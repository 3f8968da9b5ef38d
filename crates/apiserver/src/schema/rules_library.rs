//! The functions that rules may call beyond the standard ones: strings, lists, patterns, URLs and quantities
//! (`k8s.io/apiserver/pkg/cel/library`).

use cel::common::types::{CelBool, CelList, CelString, LIST_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError, extensions};
use regex::Regex;

/// Names before a dot that are part of a function's name.
pub(super) const NAMESPACES: [&str; 4] = ["optional", "math", "lists", "strings"];

/// Names of types, which may stand where a variable may.
pub(super) const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"];

const FUNCTIONS: [&str; 65] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "join",
    "lowerAscii",
    "upperAscii",
    "trim",
    "replace",
    "split",
    "substring",
    "format",
    "strings.quote",
    "reverse",
    "slice",
    "flatten",
    "distinct",
    "sort",
    "lists.range",
    "min",
    "max",
    "sum",
    "isSorted",
    "find",
    "findAll",
    "isURL",
    "isQuantity",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "hasValue",
    "value",
    "or",
    "orValue",
    "optMap",
    "optFlatMap",
    "math.greatest",
    "math.least",
    "math.ceil",
    "math.floor",
    "math.round",
    "math.trunc",
    "math.abs",
    "math.sign",
    "math.isInf",
    "math.isNaN",
    "math.isFinite",
    "math.bitOr",
    "math.bitAnd",
    "math.bitXor",
    "math.bitNot",
    "math.bitShiftLeft",
    "math.bitShiftRight",
];

/// Whether a function is known; operators are written by the parser and always are.
pub(super) fn is_function(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_alphabetic()) || FUNCTIONS.contains(&name)
}

/// The standard environment and the functions here. A name that is already declared keeps its first meaning.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib().with_optional_support(true);
    let _ = env.add_extension(extensions::strings);
    let _ = env.add_extension(extensions::lists);
    let _ = env.add_extension(extensions::math);
    let _ = cel::add_member_overload!(env, fn find: (CelString<'_>, CelString<'_>) -> Result<CelString<'_>>);
    let _ =
        cel::add_member_overload!(env, fn find_all: (CelString<'_>, CelString<'_>) -> Result<CelList<'_>>);
    let _ = cel::add_overload!(env, fn is_url: (CelString<'_>) -> CelBool, name = "isURL");
    let _ = cel::add_overload!(env, fn is_quantity: (CelString<'_>) -> CelBool);
    let _ = env.add_member_overload("isSorted", "list.isSorted()", LIST_TYPE, vec![], is_sorted);
    let _ = env.add_member_overload("min", "list.min()", LIST_TYPE, vec![], least);
    let _ = env.add_member_overload("max", "list.max()", LIST_TYPE, vec![], greatest);
    let _ = env.add_member_overload("sum", "list.sum()", LIST_TYPE, vec![], sum);
    env
}

fn pattern(text: &CelString<'_>) -> Result<Regex, ExecutionError> {
    Regex::new(text.inner()).map_err(|why| ExecutionError::function_error("find", why))
}

fn find(text: &CelString<'_>, wanted: &CelString<'_>) -> Result<CelString<'static>, ExecutionError> {
    let found = pattern(wanted)?.find(text.inner()).map(|found| found.as_str().to_owned());
    Ok(found.unwrap_or_default().into())
}

fn find_all(text: &CelString<'_>, wanted: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    let pattern = pattern(wanted)?;
    let found = pattern.find_iter(text.inner()).map(|found| found.as_str().to_owned());
    let items: Vec<Box<dyn Val>> =
        found.map(|text| Box::new(CelString::from(text)) as Box<dyn Val>).collect();
    Ok(CelList::from(items))
}

/// `url.ParseRequestURI`, as far as it can be told without a parser: an absolute URI with a host, or an absolute path.
fn is_url(text: &CelString<'_>) -> CelBool {
    let text = text.inner();
    let clean = text.bytes().all(|c| c > b' ' && c != 0x7f);
    let absolute = text.split_once("://").is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
            && !rest.is_empty()
    });
    CelBool::from(clean && (absolute || text.starts_with('/')))
}

/// `resource.ParseQuantity` would take the text.
fn is_quantity(text: &CelString<'_>) -> CelBool {
    let text = text.inner().trim_start_matches(['+', '-']);
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number = number.bytes().any(|c| c.is_ascii_digit()) && number.matches('.').count() <= 1;
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok());
    let unit = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    CelBool::from(number && (exponent || unit.contains(&suffix)))
}

fn items<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<Vec<cel::Value>, ExecutionError> {
    let list = args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    match cel::Value::try_from(&*list) {
        Ok(cel::Value::List(items)) => Ok(items.to_vec()),
        _ => Err(ExecutionError::MissingArgumentOrTarget),
    }
}

fn owned<'b, 'v>(value: cel::Value) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value: Box<dyn Val> =
        value.try_into().map_err(|_| ExecutionError::InternalError("no value".to_owned()))?;
    Ok(CowVal::Owned(value))
}

fn in_order(a: &cel::Value, b: &cel::Value) -> Result<bool, ExecutionError> {
    let order = a.partial_cmp(b).ok_or_else(|| ExecutionError::ValuesNotComparable(a.clone(), b.clone()))?;
    Ok(order.is_le())
}

fn is_sorted<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    for pair in items(args)?.windows(2) {
        if !in_order(&pair[0], &pair[1])? {
            return owned(cel::Value::Bool(false));
        }
    }
    owned(cel::Value::Bool(true))
}

fn pick<'b, 'v>(
    args: Vec<CowVal<'b, 'v>>,
    name: &str,
    first: bool,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let items = items(args)?;
    let empty = || ExecutionError::function_error(name, format!("{name} called on empty list"));
    let mut best = items.first().ok_or_else(empty)?;
    for item in &items {
        if in_order(item, best)? == first {
            best = item;
        }
    }
    owned(best.clone())
}

fn least<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    pick(args, "min", true)
}

fn greatest<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    pick(args, "max", false)
}

fn sum<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (mut whole, mut real, mut is_real) = (0_i64, 0.0, false);
    for item in items(args)? {
        match item {
            cel::Value::Int(number) => {
                let next = whole.checked_add(number);
                whole = next.ok_or_else(|| ExecutionError::function_error("sum", "integer overflow"))?;
            }
            cel::Value::Float(number) => (real, is_real) = (real + number, true),
            other => return Err(ExecutionError::unsupported_target_type(other)),
        }
    }
    owned(if is_real { cel::Value::Float(real) } else { cel::Value::Int(whole) })
}
