// Several kernels, side by side: each work-group does what one of them says.
{%- for line in enables %}
{{ line }}
{%- endfor %}
@group(0) @binding(0) var<uniform> p: array<vec4<u32>, {{ vectors }}>;
{%- for b in buffers %}
@group(0) @binding({{ loop.index }}) {{ b[0] }}b{{ loop.index0 }}{{ b[1] }}
{%- endfor %}
{%- for a in arrays %}
var<workgroup> {{ a.name }}: array<{{ a.of }}, {{ a.count }}>;
{%- endfor %}
{% for part in parts %}
{{ part.text }}
{%- endfor %}
@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
    {%- for b in builtins %}
    @builtin({{ b }}) {{ b }}: u32,
    {%- endfor %}
) {
    let group = (w.z * n.y + w.y) * n.x + w.x;
    {%- for part in parts %}
    if group < {{ part.end }} { {{ part.call }} return; }
    {%- endfor %}
}
