// A loop nest with reductions: sums, softmax, norms, losses, and their gradients in one pass over the grid.
// A team of {{ team }} threads owns one outer point{% if column && quads %} of four columns{% endif %}; {{ rows }} teams make a work-group. A thread walks every {{ team }}th point of the
// inner space once a stage (or keeps them all, where they are few); the team combines what its threads reduced, and goes on
// to the next stage with the results.
// Lines of the outer level are computed by the whole team alike, and stored by its first thread.
{%- if part.is_some() %}
// Here a work-group takes only one part of the inner space, and leaves its partial results in scratch.
{%- endif %}
// Globals: the uniform words `p`, the buffers `b0`, `b1`, ..., and one work-group array for each reduction of a stage.
{% include "head.wgsl" %}
{% if team > 1 %}
{%- for (name, ty) in shared %}
var<workgroup> {{ name }}: array<{{ ty }}, {{ threads }}>;
{%- endfor %}
{%- endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
    {%- if subgroups %}
    @builtin(subgroup_size) sg_size: u32,
    @builtin(subgroup_invocation_id) sg_lane: u32,
    @builtin(subgroup_id) sg: u32,
    @builtin(num_subgroups) sg_count: u32,
    {%- endif %}
) {
    let gid = (w.z * n.y + w.y) * n.x + w.x;
    if gid >= {{ groups }} { return; }
    {%- if let Some(part) = part %}
    let part = gid / {{ part.tiles }};
    let tile = gid - part * {{ part.tiles }};
    let lo = part * {{ part.chunk }};
    let hi = min(lo + {{ part.chunk }}, {{ inner }});
    {%- else %}
    let tile = gid;
    let lo = 0u;
    let hi = {{ inner }};
    {%- endif %}
    {%- if column %}
    // Neighbouring threads take neighbouring outer points: those lie together in memory.
    let row = t % {{ rows }}u;
    let lane = t / {{ rows }}u;
    {%- else %}
    // Neighbouring threads take neighbouring inner points: those lie together in memory.
    let row = t / {{ team }}u;
    let lane = t % {{ team }}u;
    {%- endif %}
    let place = tile * {{ rows }}u + row;
    {%- if team == 1 %}
    if place >= {{ outer }} { return; }
    let live = true;
    let o = place;
    {%- else %}
    // A team past the end repeats the last outer point and stores nothing, so that barriers stay uniform.
    let live = place < {{ outer }};
    let o = min(place, {{ outer }} - 1u);
    {%- endif %}
    {%- for s in setup %}
    {{ s }}
    {%- endfor %}
    {%- for l in loops %}
    {%- for a in l.accs %}
    {%- for name in a.names %}
    var {{ name }}: {{ a.ty }} = {{ a.identity }};
    {%- endfor %}
    {%- endfor %}
    {%- for s in l.walk %}
    {{ s }}
    {%- endfor %}
    {%- if team == 1 %}
    {%- for a in l.accs %}
    let {{ a.result }} = {{ a.folded }};
    {%- endfor %}
    {%- else if !l.accs.is_empty() %}
    {%- if !loop.first %}
    workgroupBarrier();
    {%- endif %}
    {%- for a in l.accs %}
    var {{ a.result }} = {{ a.folded }};
    {%- endfor %}
    {%- if subgroups %}
    for (var h = sg_size >> 1u; h > 0u; h >>= 1u) {
        {%- for a in l.accs %}
        {{ a.shuffle }}
        {%- endfor %}
    }
    if sg_lane == 0u {
        {%- for a in l.accs %}
        {{ a.shared }}[sg] = {{ a.result }};
        {%- endfor %}
    }
    workgroupBarrier();
    {%- for a in l.accs %}
    {{ a.result }} = {{ a.shared }}[0];
    {%- endfor %}
    for (var u = 1u; u < sg_count; u++) {
        {%- for a in l.accs %}
        {{ a.gather }}
        {%- endfor %}
    }
    {%- else %}
    {%- for a in l.accs %}
    {{ a.shared }}[t] = {{ a.result }};
    {%- endfor %}
    workgroupBarrier();
    {%- if self.fan() < team %}
    // The first {{ self.fan() }} threads combine {{ team / self.fan() }} values each, then all threads those of the first ones.
    if lane < {{ self.fan() }}u {
        for (var h = 1u; h < {{ team / self.fan() }}u; h++) {
            let u = t + h * {{ self.fan() * self.pitch() }}u;
            {%- for a in l.accs %}
            {{ a.gather }}
            {%- endfor %}
        }
        {%- for a in l.accs %}
        {{ a.shared }}[t] = {{ a.result }};
        {%- endfor %}
    }
    workgroupBarrier();
    {%- endif %}
    {%- for a in l.accs %}
    {{ a.result }} = {{ a.shared }}[t - lane * {{ self.pitch() }}u];
    {%- endfor %}
    for (var h = 1u; h < {{ self.fan() }}u; h++) {
        let u = t - (lane - h) * {{ self.pitch() }}u;
        {%- for a in l.accs %}
        {{ a.gather }}
        {%- endfor %}
    }
    {%- endif %}
    {%- endif %}
    {%- for s in l.after %}
    {{ s }}
    {%- endfor %}
    {%- endfor %}
    {%- if settle && team > 1 %}
    // What is stored below was read above by the whole team.
    storageBarrier();
    workgroupBarrier();
    {%- endif %}
    if live && lane == 0u {
        {%- for s in stores %}
        {{ s }}
        {%- endfor %}
    }
}
