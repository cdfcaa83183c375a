
    // k in pieces of {{ tile.bk }}, copied to work-group memory, k-major, and multiplied from there. While one piece is multiplied the
    // next one is on its way to registers: loads are issued before the barrier and stored after the products, and none
    // stands in a branch, which compilers would wait for. If k does not divide, the first piece is the short one.
    let short = i32((first_k - end_k) & {{ tile.bk - 1 }}u);
    let last_k = end_k + u32(short);
    {%- for s in self.sides() %}
    {%- for r in 0..self.rounds(s) %}
    {%- let u = self.piece(r) %}
    {%- if s.along_k %}
    let at_{{ s.name }}{{ r }} = place_{{ s.name }}(base_{{ s.name }}, min({{ s.origin }} + {{ u }} / {{ tile.bk / 4 }}u, {{ s.extent }} - 1u), i32({{ u }} % {{ tile.bk / 4 }}u * 4u) - short);
    {%- if matrices.is_some() %}
    let store_{{ s.name }}{{ r }} = {{ u }} / {{ tile.bk / 4 }}u * {{ tile.pitch() }}u + {{ u }} % {{ tile.bk / 4 }}u * 4u;
    {%- else %}
    let store_{{ s.name }}{{ r }} = {{ u }} % {{ tile.bk / 4 }}u * {{ s.lines * 4 + tile.skew() }}u + {{ u }} / {{ tile.bk / 4 }}u;
    {%- endif %}
    {%- else if matrices.is_some() %}
    {%- if r == 0 %}
    // A thread copies four vectors one behind the other along k, four lines, and turns them.
    let store_{{ s.name }}0 = t / {{ tile.bk / 4 }}u * {{ 4 * tile.pitch() }}u + t % {{ tile.bk / 4 }}u * 4u;
    {%- endif %}
    let at_{{ s.name }}{{ r }} = place_{{ s.name }}(base_{{ s.name }}, min({{ s.origin }} + t / {{ tile.bk / 4 }}u * 4u, {{ s.extent }} - {% if s.wide %}4{% else %}1{% endif %}u), i32(t % {{ tile.bk / 4 }}u * 4u) + {{ r }} - short);
    {%- else %}
    let at_{{ s.name }}{{ r }} = place_{{ s.name }}(base_{{ s.name }}, min({{ s.origin }} + {{ u }} % {{ s.lines / 4 }}u * 4u, {{ s.extent }} - {% if s.wide %}4{% else %}1{% endif %}u), i32({{ u }} / {{ s.lines / 4 }}u) - short);
    {%- endif %}
    var next_{{ s.name }}{{ r }} = present_{{ s.name }}(at_{{ s.name }}{{ r }}, load_{{ s.name }}(at_{{ s.name }}{{ r }}, first_k, {% if s.by_lane() %}select({{ NOTHING }}, 0, first_k < end_k){% else %}at_{{ s.name }}{{ r }}.kk >= 0 && first_k < end_k{% endif %}));
    {%- endfor %}
    {%- endfor %}
    {%- for s in self.sides() %}
    {%- for line in self.stores(s, "0u") %}
    {{ line }}
    {%- endfor %}
    {%- endfor %}
    {%- if buffers == 2 %}
    var half = 0u;
    {%- endif %}
    for (var k = first_k; k < last_k; k += {{ tile.bk }}u) {
        // After the last piece nothing is read but the first element.
        let more = k + {{ tile.bk }}u < last_k;
        {%- for s in self.sides() %}
        {%- for r in 0..self.rounds(s) %}
        next_{{ s.name }}{{ r }} = load_{{ s.name }}(at_{{ s.name }}{{ r }}, k + {{ tile.bk }}u, {% if s.by_lane() %}select({{ NOTHING }}, -{{ tile.bk }}, more){% else %}more{% endif %});
        {%- endfor %}
        {%- endfor %}
        workgroupBarrier();
        {%- if matrices.is_some() %}
        {%- for s in self.sides() %}
        let from_{{ s.name }} = {% if buffers == 2 %}half * {{ self.tile_size(s) }}u + {% endif %}{{ self.corner(s) }};
        {%- endfor %}
        {%- for step in 0..self.multiplications() %}
        {% if !unrolled %}for (var step = 0u; step < {{ tile.bk / self.size() }}u; step++) {% endif %}{
            {%- for s in self.sides() %}
            {%- for i in 0..self.matrices_of(s) %}
            let {{ s.vector }}{{ i }} = {{ self.matrix(s, step, i) }};
            {%- endfor %}
            {%- endfor %}
            {%- for i in 0..self.matrices_of(a) %}
            {%- for j in 0..self.matrices_of(b) %}
            c{{ i }}_{{ j }} = coopMultiplyAdd(x{{ i }}, y{{ j }}, c{{ i }}_{{ j }});
            {%- endfor %}
            {%- endfor %}
        }
        {%- endfor %}
        {%- else %}
        {%- for s in self.sides() %}
        let from_{{ s.name }} = {% if buffers == 2 %}half * {{ self.tile_size(s) }}u + {% endif %}{{ s.thread }}{% if s.along_k %} * 4u{% endif %}{{ self.slice(s) }};
        {%- endfor %}
        {%- for step in 0..self.steps() %}
        {% if !unrolled %}for (var step = 0u; step < {{ tile.bk / tile.slices }}u; step++) {% endif %}{
            {%- for s in self.sides() %}
            {%- for i in 0..self.vectors(s) %}
            let {{ s.vector }}{{ i }} = {{ self.read(s, step, i) }};
            {%- endfor %}
            {%- endfor %}
            {%- for i in 0..tile.tm %}
            {%- for j in 0..(tile.tn / 4) %}
            c{{ i }}_{{ j }} += x{{ i / 4 }}.{{ LANES[(i % 4) as usize] }} * y{{ j }};
            {%- endfor %}
            {%- endfor %}
        }
        {%- endfor %}
        {%- endif %}
        {%- if buffers == 2 %}
        half = 1u - half;
        {%- else %}
        workgroupBarrier();
        {%- endif %}
        {%- for s in self.sides() %}
        {%- for line in self.stores(s, "half") %}
        {{ line }}
        {%- endfor %}
        {%- endfor %}
    }
