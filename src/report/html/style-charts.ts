/** The style of drawings, of opened rows and of the graph. What colour tells is also told by form or by words. */
export const chartStyle = `
svg text{fill:var(--dim);font-size:11px;font-variant-numeric:tabular-nums}
svg text.strong{fill:var(--text);font-weight:600}
svg .faint,.faint{fill:var(--dim);color:var(--dim);font-size:.78rem}
svg .bar,.hbar .plain{fill:var(--bar)}svg .int{fill:var(--int)}svg .float{fill:var(--float)}
.worse .hbar .plain{fill:var(--bad)}.better .hbar .plain{fill:var(--good)}
svg .axis{stroke:var(--line)}svg .zero{stroke:var(--dim)}svg .limit{stroke:var(--out);stroke-width:1.5;stroke-dasharray:4 2}svg .beyond{fill:var(--out);opacity:.13}
svg .ci{stroke:var(--text);stroke-width:3}svg .dot{fill:var(--accent);stroke:var(--bg);stroke-width:1.5}
.margin,.spread,.ticks,.histogram,.scales{display:block;width:100%;overflow:visible}
.margin{margin:.4rem 0 .1rem}
.hbar{display:block;width:100%;min-width:5rem}
td.wide{width:32%;min-width:8rem}
td.wide .margin{min-width:12rem}
figure{margin:.8rem 0}
figure.chart{max-width:44rem}
figcaption{font-size:.82rem;color:var(--dim)}
.spread{margin-top:.35rem}
tr[id^=layer-]{cursor:pointer;scroll-margin:4rem}
tr[id^=layer-]:hover>*{background:var(--panel)}
button.open::before{content:"\\25B8";color:var(--dim);display:inline-block;width:1.1em;vertical-align:top}
button.open[aria-expanded=true]::before{content:"\\25BE"}
button.open .name{max-width:calc(100% - 1.3em)}
button.open{display:block;min-width:13rem;max-width:22rem}
.details td{padding:0}
.details .inside{position:sticky;left:0;width:100cqw;background:var(--panel);padding:.6rem .8rem .9rem;border-radius:0 0 .5rem .5rem}
.inside p{margin:.15rem 0;max-width:none}
.inside p.dim{font-size:.82rem}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:.9rem 1.6rem;margin-top:.5rem}
figure.point{margin:0;min-width:0}
.point figcaption{color:var(--text)}
.point svg{margin-top:.4rem}
button.plain{font:inherit;font-size:.85rem;color:var(--text);background:var(--bg);border:1px solid var(--line);border-radius:.35rem;padding:.2rem .6rem;cursor:pointer;min-width:2.2rem}
button.plain:hover{border-color:var(--accent)}
.canvas{overflow:auto;max-height:min(40rem,80vh);border:1px solid var(--line);border-radius:.5rem;background:var(--panel)}
.canvas svg{display:block;margin:0 auto;cursor:grab}
.canvas .edges path{fill:none;stroke:var(--dim);stroke-width:1.1;opacity:.75}
.canvas text{text-anchor:middle;pointer-events:none}
.canvas text.op{font-size:12px;font-weight:600;fill:var(--text)}
.canvas text.sub{font-size:9.5px}
.canvas text.shape{font-size:9px;text-anchor:start}
rect.node{stroke-width:1.4}
rect.node.integer{fill:var(--int);stroke:var(--int)}
rect.node.integer~text.op,rect.node.integer~text.sub{fill:#fff}
rect.node.float{fill:var(--bg);stroke:var(--float);stroke-width:2.4;stroke-dasharray:6 3}
rect.node.moves{fill:var(--bg);stroke:var(--line)}
.canvas a{cursor:pointer}
.canvas a:hover rect.node{stroke:var(--text)}
.canvas .found rect.node{stroke:var(--text);stroke-width:4;stroke-dasharray:none}
.tools{display:flex;gap:.4rem;flex-wrap:wrap;margin:.4rem 0}
.keys{display:flex;gap:.3rem 1.2rem;flex-wrap:wrap;font-size:.85rem}
.key svg{vertical-align:-4px}
svg .curve{fill:none;stroke:var(--accent);stroke-width:1.6}
.scatter svg{display:block;width:100%;overflow:visible}
figure.scatter{max-width:60rem}
svg .grid{stroke:var(--line);stroke-width:.7}svg .whisker{stroke:var(--dim);stroke-width:1.3}svg .pareto{stroke:var(--accent);stroke-width:1.6;stroke-dasharray:5 3}
.scatter .dot{fill:var(--bg);stroke:var(--accent);stroke-width:2}.scatter .dot.front{fill:var(--accent)}.scatter .dot.chosen{fill:var(--good);stroke:var(--good)}
.scatter text{paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}
.narrow-only{display:none}
@media (max-width:45rem){.narrow-only{display:inline}.wide-only{display:none}}
tr.chosen>*{background:var(--panel)}
.flips{list-style:none;padding:0;margin:.5rem 0;display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr));gap:.8rem}
.flips li{display:flex;gap:.6rem;font-size:.82rem;overflow-wrap:anywhere;min-width:0}
.flips li div{min-width:0}
.flips img{image-rendering:pixelated;border:1px solid var(--line);border-radius:.25rem;object-fit:contain;flex:none}
`;
