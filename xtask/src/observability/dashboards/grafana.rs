//! Dashboards as Grafana reads them (pure).

use serde_json::{Value, json};

use super::{Dashboard, Panel, Unit};

/// Width of Grafana's grid, and what a panel has of it.
const GRID: usize = 24;
const WIDTH: usize = 8;
const HEIGHT: usize = 8;

/// The dashboard's JSON model.
pub(super) fn json(dashboard: &Dashboard) -> Value {
    let mut panels = Vec::new();
    let mut y = 0;
    for row in &dashboard.rows {
        panels.push(json!({
            "id": panels.len() + 1,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "gridPos": {"x": 0, "y": y, "w": GRID, "h": 1},
            "panels": [],
        }));
        y += 1;
        for (number, shown) in row.panels.iter().enumerate() {
            let (line, column) = (number * WIDTH / GRID, number * WIDTH % GRID);
            let place = json!({"x": column, "y": y + line * HEIGHT, "w": WIDTH, "h": HEIGHT});
            panels.push(panel(panels.len() + 1, &place, shown));
        }
        y += (row.panels.len() * WIDTH).div_ceil(GRID) * HEIGHT;
    }
    json!({
        "uid": format!("gamekeeper-{}", dashboard.name),
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["gamekeeper"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "links": [{
            "type": "dashboards", "tags": ["gamekeeper"], "title": "Gamekeeper", "asDropdown": true,
            "includeVars": true, "keepTime": true,
        }],
        "templating": {"list": [{
            "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1,
        }]},
        "panels": panels,
    })
}

fn panel(id: usize, place: &Value, panel: &Panel) -> Value {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..='Z')
        .map(|(query, letter)| {
            json!({
                "refId": letter, "datasource": source, "expr": query.expression,
                "legendFormat": query.legend, "range": true,
            })
        })
        .collect();
    let (mode, fill) = if panel.stacked {
        ("normal", 40)
    } else {
        ("none", 0)
    };
    json!({
        "id": id,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "datasource": source,
        "targets": targets,
        "fieldConfig": {
            "defaults": {
                "unit": unit(panel.unit),
                "min": 0,
                "custom": {
                    "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": false,
                    "stacking": {"mode": mode, "group": "A"},
                },
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    })
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "short",
        Unit::Rate => "ops",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
        Unit::Share => "percentunit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::dashboards::all;

    #[test]
    fn panels_lie_beside_each_other_and_within_the_grid() {
        for dashboard in all() {
            let model = json(&dashboard);
            let mut taken = std::collections::HashSet::new();
            for shown in model["panels"].as_array().unwrap() {
                let side = |name: &str| shown["gridPos"][name].as_u64().unwrap();
                assert!(side("x") + side("w") <= GRID as u64);
                for x in side("x")..side("x") + side("w") {
                    for y in side("y")..side("y") + side("h") {
                        assert!(taken.insert((x, y)), "{}: {}", dashboard.name, shown["title"]);
                    }
                }
            }
        }
    }
}
