// The pairs that argmax and argmin carry: a value and its flat index, `0xffffffff` for none yet.
// The lower index wins a tie; a NaN beats every number. It needs no globals beyond `common.wgsl`.
{% for ty in ["f32", "i32", "u32"] %}
struct Best_{{ ty }} {
    value: {{ ty }},
    index: u32,
}
{% for (name, sign) in [("max", ">"), ("min", "<")] %}
fn k_arg{{ name }}_{{ ty }}(a: Best_{{ ty }}, b: Best_{{ ty }}) -> Best_{{ ty }} {
    if b.index == 0xffffffffu { return a; }
    if a.index == 0xffffffffu { return b; }
    let first = b.index < a.index;
    {%- if *ty == "f32" %}
    let an = k_is_nan(a.value);
    let bn = k_is_nan(b.value);
    if an || bn {
        if bn && (first || !an) { return b; }
        return a;
    }
    {%- endif %}
    if b.value {{ sign }} a.value || (b.value == a.value && first) { return b; }
    return a;
}
{% endfor %}
{%- endfor %}
