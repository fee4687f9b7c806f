-- assignments: who was assigned to what in the experiment of one run, and who got its message.
--
-- Inputs   audience  lake audience/<run>: contact_id, status, variant, first_run_id, reassigned_from (nothing personal)
--          facts     message_facts of the run: contact_id, accepted_at
-- Params   $run_id, $campaign, $experiment, $layer (null: none)
-- Grain    one row per contact of the run's audience that could be sent to: planned, held out, or held out globally
-- Output   run_id, campaign, experiment, contact_id
--          layer            whose experiments have no contact in common; null: the experiment is in none
--          variant          a variant, or not_in_test: sent the control's message outside of the experiment;
--                           null: held out
--          status           as frozen
--          assigned_at      time (as_of) of first_run_id
--          first_run_id     the run that gave the contact this variant in the experiment: an earlier one, or this one
--          reassigned_from  its variant of before, which the campaign had no more; null: none
--          exposed_at       the provider took the message; null: it did not, or not yet
-- Rule     Assigned and exposed are two facts. Results go by assignment: who was exposed may depend on the variant.
--          Weights say what share of those with first_run_id = run_id has each variant; others kept theirs.
-- Source   docs/assignment.md; Kohavi, Tang, Xu, Trustworthy Online Controlled Experiments (2020), chapter 20

SELECT
    $run_id AS run_id,
    $campaign AS campaign,
    $experiment AS experiment,
    $layer AS layer,
    audience.contact_id,
    audience.variant,
    audience.status,
    strptime(split_part(coalesce(audience.first_run_id, $run_id), '--', 2), '%Y%m%dt%H%M%Sz') AS assigned_at,
    coalesce(audience.first_run_id, $run_id) AS first_run_id,
    audience.reassigned_from,
    facts.accepted_at AS exposed_at
FROM audience
LEFT JOIN facts ON facts.contact_id = audience.contact_id
WHERE audience.status IN ('planned', 'held_out', 'held_out_globally')
ORDER BY audience.contact_id
