/**
 * The style of report.html. No `style` attribute is used anywhere: the page's policy only allows this text, by its
 * hash.
 */
export const style = `
:root{color-scheme:light dark;--bg:#fff;--panel:#f5f6f8;--line:#d9dde3;--text:#1b1f24;--dim:#59636e;--accent:#0b5cad;
  --good:#0a6b3d;--bad:#b3261e;--bar:#8aa4c4;--out:#b3261e;--int:#2166ac;--float:#c5832b;--unsure:#7a5b00}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--panel:#1d2228;--line:#363d47;--text:#e6e9ed;--dim:#9aa5b1;
  --accent:#7db7f5;--good:#6fd39a;--bad:#ff9087;--bar:#4d6a8f;--out:#ff9087;--int:#3579bd;--float:#d9a14f;
  --unsure:#e3c15a}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
main{max-width:82rem;margin:0 auto;padding:1.25rem 1rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:0;display:inline}
h3{font-size:.93rem;margin:1.1rem 0 .3rem}
p{margin:.5rem 0;max-width:52rem;overflow-wrap:anywhere}
.dim,.about{color:var(--dim)}
.about{margin:.25rem 0 0;font-size:.87rem;max-width:none;overflow-wrap:anywhere}
.verdict{font-size:1.08rem;border-left:.3rem solid var(--dim);padding:.6rem .9rem;background:var(--panel);
  margin:1rem 0;max-width:none;overflow-wrap:anywhere}
.verdict.better{border-color:var(--good)}.verdict.worse{border-color:var(--bad)}
.verdict.unsure{border-color:var(--unsure)}
.verdict strong{font-weight:650}
.contents{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.87rem;margin:.6rem 0}.contents a{color:var(--accent)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(13.5rem,1fr));gap:.75rem;margin:1rem 0}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem .9rem;min-width:0}
.tile h2{font-size:.82rem;font-weight:600;color:var(--dim);display:block}
.tile .value{font-size:1.45rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums;margin:.1rem 0}
.tile p{margin:0;font-size:.84rem;color:var(--dim)}
.worse .value,td.worse,.bad{color:var(--bad)}.better .value,td.better,.good{color:var(--good)}
section,details.section{border-top:1px solid var(--line);margin-top:1.4rem;padding-top:.9rem}
.large{content-visibility:auto;contain-intrinsic-size:auto 300rem}.canvas.large{contain-intrinsic-size:auto 40rem}
details.section>summary{cursor:pointer;margin-bottom:.5rem}
summary .dim{font-size:.87rem;margin-left:.4rem}
.scroll{overflow-x:auto;margin:.6rem 0;container-type:inline-size}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;min-width:min(100%,44rem);font-size:.87rem}
table[data-sort]{width:100%}
.note{display:block;color:var(--dim);font-weight:400;font-size:.92em}
th,td{text-align:left;vertical-align:top;padding:.36rem 1rem .36rem 0;border-bottom:1px solid var(--line)}
thead th{color:var(--dim);font-weight:600;white-space:nowrap;vertical-align:bottom}
tbody th,tfoot th{font-weight:500}
tfoot{color:var(--dim)}
tbody th>.name{min-width:6rem}
tbody th>.name+.badge{margin-right:.3rem}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
thead button,button.open{all:unset;cursor:pointer;font-weight:inherit}
thead button:focus-visible,button.open:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
thead button:hover{color:var(--accent)}
th[aria-sort=ascending] button::after{content:" \\25B2"}
th[aria-sort=descending] button::after{content:" \\25BC"}
.name,code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace;
  font-size:.93em;overflow-wrap:anywhere}
td .name,th .name{display:inline-block;max-width:22rem}
td.words{min-width:14rem;max-width:34rem}
.above>*{border-bottom:0;padding-bottom:0}
td.note{display:table-cell;padding-top:0}
pre{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem;overflow:auto;
  max-height:32rem;font:.82rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace}
.filter{display:flex;gap:.6rem;align-items:center;flex-wrap:wrap;font-size:.87rem;color:var(--dim)}
.filter input{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--line);border-radius:.35rem;
  padding:.3rem .5rem;width:min(18rem,100%)}
.badge.better{color:var(--good)}.badge.worse{color:var(--bad)}.badge.unsure{color:var(--unsure)}
.badge{display:inline-block;font-weight:650;border:1px solid currentColor;border-radius:.3rem;padding:0 .35rem;
  font-size:.78rem;white-space:nowrap}
ul.plain{list-style:none;margin:.4rem 0;padding:0}
ul.plain li{margin:.4rem 0;overflow-wrap:anywhere}
.chips span{display:inline-block;background:var(--panel);border:1px solid var(--line);border-radius:.3rem;
  padding:.05rem .4rem;margin:.12rem .2rem .12rem 0;font-size:.82rem}
.hash{overflow-wrap:anywhere}
@media (max-width:34rem){body{font-size:14px}th,td{padding-right:.6rem}main{padding:.9rem .75rem 3rem}
.tiles{grid-template-columns:1fr 1fr;gap:.5rem}.tile{padding:.55rem .65rem}.tile .value{font-size:1.12rem}}
@media (max-width:23rem){.tiles{grid-template-columns:1fr}}
@media print{.large{content-visibility:visible}details.section{break-inside:avoid}.filter{display:none}
pre{max-height:none}}
`;
