-- funnel: how far the contacts of a run came, stage by stage.
--
-- Inputs   metrics   campaign_metrics of one run
-- Grain    run x variant x channel x stage
-- Output   run_id, campaign, channel, variant
--          stage_no, stage   1 planned, 2 accepted, 3 delivered, 4 read, 5 opened, 6 clicked, 7 replied, 8 converted
--          contacts          who came so far; null: the stage is not counted here, as conversions where there are none
--          of_planned        their share of those who were planned
--          of_previous       their share of those of the last stage before with anybody; null: of the first
-- Rule     Stages are no sieve: who clicked counts as clicked also where the open was not seen.
-- Source   campaign_metrics

WITH stages AS (
    SELECT run_id, campaign, channel, variant, unnest([
        {'stage_no': 1, 'stage': 'planned', 'contacts': planned},
        {'stage_no': 2, 'stage': 'accepted', 'contacts': accepted},
        {'stage_no': 3, 'stage': 'delivered', 'contacts': delivered},
        {'stage_no': 4, 'stage': 'read', 'contacts': read},
        {'stage_no': 5, 'stage': 'opened', 'contacts': opened},
        {'stage_no': 6, 'stage': 'clicked', 'contacts': clicked},
        {'stage_no': 7, 'stage': 'replied', 'contacts': replied},
        {'stage_no': 8, 'stage': 'converted', 'contacts': converted}
    ], recursive := true)
    FROM metrics
)

SELECT
    run_id, campaign, channel, variant, stage_no, stage, contacts,
    contacts / nullif(first_value(contacts) OVER stages_of, 0) AS of_planned,
    contacts / lag(nullif(contacts, 0) IGNORE NULLS) OVER stages_of AS of_previous
FROM stages
WINDOW stages_of AS (PARTITION BY run_id, channel, variant ORDER BY stage_no)
ORDER BY run_id, channel, variant, stage_no
