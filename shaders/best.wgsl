// The pairs that argmax and argmin carry: a value and its flat index, `0xffffffff` for none yet.
// The lower index wins a tie; a NaN beats every number. It needs no globals beyond `common.wgsl`.
{% for ty in ["f32", "i32", "u32"] %}
struct Best_{{ ty }} {
    value: {{ ty }},
    index: u32,
}
{% for (name, sign) in [("max", ">"), ("min", "<")] %}
fn k_arg{{ name }}_{{ ty }}(a: Best_{{ ty }}, b: Best_{{ ty }}) -> Best_{{ ty }} {
    let first = b.index < a.index;
    var better = b.value {{ sign }} a.value || (b.value == a.value && first);
    {%- if *ty == "f32" %}
    let an = k_is_nan(a.value);
    better = select(better && !an, !an || first, k_is_nan(b.value));
    {%- endif %}
    if b.index != 0xffffffffu && (better || a.index == 0xffffffffu) { return b; }
    return a;
}
{% endfor %}
{%- endfor %}
