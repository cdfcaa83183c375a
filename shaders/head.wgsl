{#- The globals of every kernel: the uniform words `p`, the storage buffers `b0`, `b1`, ... The helpers it calls follow at its end. -#}
@group(0) @binding(0) var<uniform> p: array<vec4<u32>, {{ head.vectors }}>;
{%- for b in head.buffers %}
@group(0) @binding({{ loop.index }}) var<storage, {% if b.write %}read_write{% else %}read{% endif %}> b{{ loop.index0 }}: array<{{ b.ty }}>;
{%- endfor %}
