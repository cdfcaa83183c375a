{#- The sums of a scatter-add: of chunks that belong to one place alone, and of places. -#}
// Scatter-add without atomics: out[o, v, i] = base[o, v, i] + the sum of src[o, j, i] over the j with index[j] == v, then a fused
// program on each element. The order in which the j are added depends on the indices alone, so equal inputs give equal bits.
{%- match how %}
{%- when How::Looks %}
// One thread computes one element of the result{% if quads %}, or four neighbours of one,{% endif %} and looks at all indices; neighbouring threads read the same ones.
{%- when How::Chunks %}
// Here {{ chunk }} neighbours among the ordered j are added, where all have one place. One thread adds them for one i{% if quads %}, or four{% endif %}.
{%- when How::Runs %}
// One thread computes one element of the result{% if quads %}, or four neighbours of one,{% endif %} and adds the j of its place, which lie together
// {%- if sums.is_some() %}; of whole chunks among them it adds the sums{% endif %}. Neighbouring threads read the same ones.
{%- endmatch %}
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}
{%- if how != How::Looks %}

// `acc` and the elements of src at the ordered places from `low` to `high`; `first` is that of j = 0. Four loads go out at a time,
// those past the end for the last place.
fn walk(acc: {{ ty }}, first: u32, low: u32, high: u32) -> {{ ty }} {
    var sum = acc;
    for (var q = low; q < high; q += 4u) {
        {%- for i in 0..4 %}
        let x{{ i }} = b{{ src }}[first + b{{ pairs }}[min(q + {{ i }}u, high - 1u)].y * {{ inner }}];
        {%- endfor %}
        sum += x0;
        {%- for i in 1..4 %}
        sum = select(sum, sum + x{{ i }}, q + {{ i }}u < high);
        {%- endfor %}
    }
    return sum;
}
{%- endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let o = ((w.z * n.y + w.y) * n.x + w.x) * {{ threads }}u + t;
    if o >= {{ count }} { return; }
    let line = o / {{ inner }};
    let i = o - line * {{ inner }};
    // Of the places, or of the chunks.
    let outer = line / {{ extent }};
    let v = line - outer * {{ extent }};
    let first = outer * {{ indices }} * {{ inner }} + i;
    {%- match how %}
    {%- when How::Looks %}
    {%- if signed %}
    // Negative indices count from the end.
    let from_end = bitcast<i32>(v - {{ extent }});
    let from_start = bitcast<i32>(v);
    {%- endif %}
    var acc = b{{ base }}[o];
    for (var j = 0u; j < {{ indices }}; j++) {
        let index = b{{ pairs }}[j];
        if {% if signed %}index == from_start || index == from_end{% else %}index == v{% endif %} {
            acc += b{{ src }}[first + j * {{ inner }}];
        }
    }
    {%- when How::Chunks %}
    // Others are left as they are: nobody asks for them.
    let low = v * {{ chunk }}u;
    if b{{ pairs }}[low].x == b{{ pairs }}[low + {{ chunk - 1 }}u].x {
        b{{ base }}[o] = walk({{ ty }}(), first, low, low + {{ chunk }}u);
    }
    {%- when How::Runs %}
    let low = b{{ runs }}[v];
    let high = b{{ runs }}[v + 1u];
    {%- match sums %}
    {%- when Some(sums) %}
    let begin = min((low + {{ chunk - 1 }}u) / {{ chunk }}u * {{ chunk }}u, high);
    let end = max(high / {{ chunk }}u * {{ chunk }}u, begin);
    var acc = walk(b{{ base }}[o], first, low, begin);
    for (var c = begin / {{ chunk }}u; c < end / {{ chunk }}u; c++) {
        acc += b{{ sums }}[(outer * {{ chunks }} + c) * {{ inner }} + i];
    }
    acc = walk(acc, first, end, high);
    {%- when None %}
    let acc = walk(b{{ base }}[o], first, low, high);
    {%- endmatch %}
    {%- endmatch %}
    {%- for s in body %}
    {{ s }}
    {%- endfor %}
}
