// SPDX-License-Identifier: BSD-3-Clause
#include "page.hpp"

#include "look.hpp"

namespace saltus::app {
namespace {

constexpr char const* style = R"(
*{box-sizing:border-box}
:root{--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif}
body{margin:0 auto;padding:1.5rem clamp(1rem,3vw,2rem) 4rem;max-width:76rem;background:var(--page);color:var(--text);
font:16px/1.5 var(--sans)}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0 .6rem}
h2{font-size:1.2rem;margin:2.6rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--grid)}
p{margin:.4rem 0;max-width:60rem}
.lead{font-size:1.05rem}
.note,figcaption{color:var(--frame);font-size:.9rem}
.bad{color:var(--c1);font-weight:600}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.3rem;margin:1rem 0;padding:0;list-style:none}
.legend li{display:flex;align-items:center;gap:.45rem}
.key{width:2.2rem;height:1rem;flex:none}
td .key{width:1.8rem;vertical-align:-.15rem;margin-right:.4rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:1.2rem 2rem}
.cost{grid-template-columns:repeat(auto-fit,minmax(min(100%,32rem),1fr))}
.histograms{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem 1.5rem}
figure{margin:0;min-width:0}
figure>svg{display:block;width:100%;height:auto}
.plots svg,.histograms svg{max-width:42rem}
.scroll{overflow-x:auto}
.logos{display:flex;flex-wrap:wrap;gap:.6rem 2rem}
.logos figure{overflow-x:auto}
.logos figure>svg{width:auto}
.logos figcaption,.histograms figcaption{color:var(--text);font-weight:600}
figure text,figure tspan{font-family:var(--sans)}
.drawn{fill:var(--text);font-size:11px}
.drawn .letters{font:700 10px Arial,Helvetica,"Liberation Sans","DejaVu Sans",sans-serif}
.drawn .axis{stroke:var(--frame);fill:none}
.drawn .outline{stroke:var(--text);stroke-width:1.5;fill:none}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.85rem}
th,td{padding:.28rem .5rem;text-align:right;white-space:nowrap}
th{border-bottom:2px solid var(--frame);font-weight:600}
td{border-bottom:1px solid var(--grid)}
th:first-child,td:first-child{text-align:left;padding-left:0}
tr.perfect td{background:var(--shade);border-bottom:0}
.parameters{columns:26rem;column-gap:2.5rem;font-size:.9rem;margin:.3rem 0}
.parameters div{display:flex;gap:1rem;padding:.15rem 0;break-inside:avoid}
.parameters dt{flex:0 0 8.5rem;color:var(--frame)}
.parameters dd{margin:0;min-width:0;overflow-wrap:anywhere}
pre{margin:.6rem 0;padding:.8rem 1rem;background:var(--shade);border-radius:.4rem;white-space:pre-wrap;
font:.9rem/1.45 ui-monospace,"Liberation Mono","DejaVu Sans Mono",Menlo,monospace;user-select:all}
pre span{display:inline-block;max-width:100%;overflow-wrap:anywhere}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
.molecules{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.8rem}
.molecules figcaption{overflow-wrap:anywhere;font-size:.75rem}
.drawn .dots{fill:var(--c0)}
tr.section td{font-weight:600;padding-top:.9rem;background:none}
td.words,th.words{text-align:left;white-space:normal;color:var(--frame);min-width:16rem}
.lines{white-space:pre;overflow-x:auto}
)";

std::string colours(char const* page, char const* shade, char const* Colour::* shade_of_all) {
  std::string css = ":root{--page:" + std::string(page) + ";--shade:" + shade;
  auto const add = [&](Colour const& colour) {
    css += std::string(";") + colour.variable + ":" + colour.*shade_of_all;
  };
  for (auto const& colour : palette) add(colour);
  for (auto const& colour : {text_colour, frame_colour, grid_colour, band_colour}) add(colour);
  return css + "}";
}

}  // namespace

std::string html_page(std::string const& title, std::string const& body) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
         escaped(title) + "</title>\n<style>" + colours("#ffffff", "#f3f4f6", &Colour::light) +
         "\n@media(prefers-color-scheme:dark){" + colours("#15181c", "#20252b", &Colour::dark) + "}" + style +
         "</style>\n</head>\n<body>\n" + body + "</body>\n</html>\n";
}

std::string html_repeat(std::vector<std::string> const& command, Json const& header) {
  std::string html = "<h2>To get this again</h2>\n<pre>";
  for (std::size_t i = 0; i < command.size(); ++i)
    html += std::string(i ? " " : "") + "<span>" + escaped(command[i]) + "</span>";
  html += "</pre>\n";
  auto const group = [&](std::string const& title, Json const& values) {
    html += "<h3>" + escaped(title) + "</h3>\n<dl class=\"parameters\">\n";
    for (auto const& [name, value] : values.items()) {
      if (!value.is_object())
        html += "<div><dt>" + escaped(name) + "</dt><dd>" +
                escaped(value.is_string() ? value.get<std::string>() : value.dump()) + "</dd></div>\n";
    }
    html += "</dl>\n";
  };
  group("Program and machine", header);
  for (auto const& [name, value] : header.items()) {
    if (value.is_object()) group(name, value);
  }
  return html;
}

}  // namespace saltus::app
